"""EoMT: a mask classifier whose queries are extra tokens in the last blocks of a plain ViT."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from timm.layers import LayerNorm2d
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.token_run import check_token_run, token_run
from mim_bench.registry import MODELS


@MODELS.register_module(name='EoMT')
def eomt(**settings: Any) -> nn.Module:
    """Build a segmentor whose backbone runs its last blocks with the queries of its head.

    Args:
        settings: Arguments of mmseg's ``EncoderDecoder``; ``decode_head`` is a
            :func:`eomt_head`.

    Raises:
        ConfigError: The blocks of the backbone take no extra tokens.

    Source: Kerssies et al., "Your ViT is Secretly an Image Segmentation Model", CVPR 2025,
    arXiv:2503.19108; tue-mps/eomt, as mirrored in YB17/eomt@45d55ec, models/eomt.py. Differs: the
    norm before the predictions is new for every backbone, and evaluation never masks, as the
    official code does at the end of its annealing.
    """
    return _segmentor_class()(**settings)


@MODELS.register_module(name='EoMTHead')
def eomt_head(**settings: Any) -> nn.Module:
    """Build the head of :func:`eomt`: queries, classes, masks, and the loss of Mask2Former.

    Args:
        settings: ``in_channels``, ``patch_size`` in pixels, ``num_classes``, ``num_queries``,
            ``num_blocks`` with queries; ``loss_cls``, ``loss_mask``, ``loss_dice`` and
            ``train_cfg`` of mmdet's ``Mask2FormerHead``.
    """
    return _head_class()(**settings)


class ScaleBlock(nn.Module):
    """Double the size of a map: transposed convolution, GELU, depthwise convolution, norm.

    Args:
        dims: Channels.
    """

    def __init__(self, dims: int) -> None:
        super().__init__()
        self.conv1 = nn.ConvTranspose2d(dims, dims, kernel_size=2, stride=2)
        self.conv2 = nn.Conv2d(dims, dims, kernel_size=3, padding=1, groups=dims, bias=False)
        self.norm = LayerNorm2d(dims)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Upsample a map: (B, C, H, W) -> (B, C, 2 H, 2 W)."""
        return self.norm(self.conv2(F.gelu(self.conv1(x))))


def attention_mask(
    masks: torch.Tensor, grid: tuple[int, int], num_prefix: int, keep: float
) -> torch.Tensor:
    """Compute which tokens each token may attend to.

    Args:
        masks: Logits of the queries' masks (B, Q, h, w).
        grid: (rows, cols) of patches.
        num_prefix: Tokens between the queries and the patches.
        keep: Probability that a query's attention is masked at all.

    Returns:
        (B, 1, L, L) bool, True = attend: a masked query attends to the patches where its mask
        is above 0, and to all other tokens; every other token to everything.
    """
    batch, queries = masks.shape[:2]
    length = queries + num_prefix + grid[0] * grid[1]
    inside = F.interpolate(masks, grid, mode='bilinear', align_corners=False).flatten(2) > 0
    if keep < 1:
        inside |= torch.rand(batch, queries, 1, device=masks.device) > keep
    allowed = torch.ones(batch, length, length, dtype=torch.bool, device=masks.device)
    allowed[:, :queries, queries + num_prefix :] = inside
    return allowed[:, None]


@cache
def _segmentor_class() -> type[nn.Module]:
    from mmseg.models.segmentors import EncoderDecoder

    class EoMT(EncoderDecoder):
        """See :func:`eomt`."""

        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            check_token_run(self.backbone)
            # Probability that attention is masked in each of the last blocks; a hook anneals it.
            self.mask_probabilities = [1.0] * self.decode_head.num_blocks

        def extract_feat(self, inputs: torch.Tensor) -> tuple[list, list]:
            """Scores (B, Q, C + 1) and mask logits (B, Q, h, w) before each block and at the end.

            In evaluation only those at the end.
            """
            run = token_run(self.backbone, inputs)
            head, tokens = self.decode_head, run.tokens
            first = len(run.blocks) - head.num_blocks
            if first < 0:
                raise ConfigError(
                    f'EoMT: {head.num_blocks} blocks with queries in a backbone of '
                    f'{len(run.blocks)}. Lower decode_head.num_blocks.'
                )
            for block in run.blocks[:first]:
                tokens = block(tokens, None)
            tokens = torch.cat((head.queries(len(tokens)).to(tokens.dtype), tokens), dim=1)
            predictions = []
            for block, keep in zip(run.blocks[first:], self.mask_probabilities, strict=True):
                mask = None
                if self.training:
                    predictions.append(head.predictions(tokens, run.grid, run.num_prefix))
                    if keep > 0:
                        logits = predictions[-1][1].detach()
                        mask = attention_mask(logits, run.grid, run.num_prefix, keep)
                tokens = block(tokens, mask)
            predictions.append(head.predictions(tokens, run.grid, run.num_prefix))
            scores, masks = zip(*predictions, strict=True)
            return list(scores), list(masks)

    return EoMT


@cache
def _head_class() -> type[nn.Module]:
    from mmdet.registry import MODELS as MMDET_MODELS
    from mmdet.registry import TASK_UTILS
    from mmengine.model import BaseModule
    from mmseg.models.decode_heads import Mask2FormerHead

    class EoMTHead(Mask2FormerHead):
        """See :func:`eomt_head`."""

        def __init__(
            self,
            in_channels: Sequence[int] | int,
            patch_size: int,
            num_classes: int,
            *,
            num_queries: int,
            num_blocks: int,
            loss_cls: dict,
            loss_mask: dict,
            loss_dice: dict,
            train_cfg: dict,
            ignore_index: int = 255,
            init_cfg: dict | list | None = None,
        ) -> None:
            BaseModule.__init__(self, init_cfg)
            dims = in_channels if isinstance(in_channels, int) else in_channels[-1]
            self.num_classes = self.out_channels = num_classes
            self.num_queries, self.num_blocks = num_queries, num_blocks
            self.ignore_index, self.align_corners = ignore_index, False
            self.query_embed = nn.Embedding(num_queries, dims)
            self.norm = nn.LayerNorm(dims, eps=1e-6)
            self.cls_embed = nn.Linear(dims, num_classes + 1)
            layers = [nn.Linear(dims, dims) for _ in range(3)]
            self.mask_embed = nn.Sequential(layers[0], nn.GELU(), layers[1], nn.GELU(), layers[2])
            steps = max(1, int(math.log2(patch_size)) - 2)
            self.upscale = nn.Sequential(*(ScaleBlock(dims) for _ in range(steps)))
            self.class_weight = [1.0] * num_classes + [loss_cls.pop('no_object_weight')]
            self.loss_cls, self.loss_mask, self.loss_dice = (
                MMDET_MODELS.build(loss)
                for loss in (dict(loss_cls, class_weight=self.class_weight), loss_mask, loss_dice)
            )
            self.assigner = TASK_UTILS.build(train_cfg['assigner'])
            self.sampler = TASK_UTILS.build(train_cfg['sampler'], default_args=dict(context=self))
            self.num_points = train_cfg['num_points']
            self.oversample_ratio = train_cfg['oversample_ratio']
            self.importance_sample_ratio = train_cfg['importance_sample_ratio']

        def init_weights(self) -> None:
            """Torch's own initialisation, then ``init_cfg``."""
            BaseModule.init_weights(self)

        def queries(self, batch: int) -> torch.Tensor:
            """The query tokens of a batch, (B, Q, C)."""
            return self.query_embed.weight.expand(batch, -1, -1)

        def predictions(
            self, tokens: torch.Tensor, grid: tuple[int, int], num_prefix: int
        ) -> tuple[torch.Tensor, torch.Tensor]:
            """Scores (B, Q, classes + 1) and mask logits (B, Q, h, w) of tokens (B, L, C)."""
            tokens = self.norm(tokens)
            queries, patches = tokens[:, : self.num_queries], tokens[:, self.num_queries :]
            maps = patches[:, num_prefix:].unflatten(1, grid).permute(0, 3, 1, 2)
            masks = torch.einsum('bqc,bchw->bqhw', self.mask_embed(queries), self.upscale(maps))
            return self.cls_embed(queries), masks

        def forward(self, x: tuple[list, list], *_: Any) -> tuple[list, list]:
            """The predictions, which the segmentor has made already."""
            return x

        def predict(self, x: tuple[list, list], metas: list[dict], *_: Any) -> torch.Tensor:
            """Scores of the classes at the size of the images, (B, classes, H, W)."""
            scores, masks = x[0][-1], x[1][-1]
            size = tuple(metas[0]['img_shape'][:2])
            masks = F.interpolate(masks.float(), size, mode='bilinear', align_corners=False)
            classes = scores.float().softmax(dim=-1)[..., :-1]
            return torch.einsum('bqc,bqhw->bchw', classes, masks.sigmoid())

    return EoMTHead
