"""LocalMIM: masked image modelling with local multi-scale reconstruction.

Holds the method, its loss, and the encoder and decoder for ViT; those for Swin are in
:mod:`mim_bench.models.methods.localmim_swin`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from mmengine.model import BaseModule, ModuleList
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.data.masked_samples import MaskedSamples, gather_masks
from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask, take_tokens
from mim_bench.masking.units import token_places
from mim_bench.models.backbones.visible_vit import VisibleViT
from mim_bench.models.layers.base import OwnWeights
from mim_bench.models.layers.patches import PatchConv
from mim_bench.models.layers.transformer import NORM_EPS, TransformerBlock, init_mae_weights
from mim_bench.registry import MODELS
from mim_bench.targets.hog import hog_pyramid
from mim_bench.targets.pixels import normalize_patches, patchify

TARGETS = ('hog', 'pixel')
BIAS_BOUND = 1 / 3  # PyTorch's default for a 3x3 filter of one channel
UPSAMPLINGS = {4: 2, 2: 1, 1: 0, 0.5: 0}


@MODELS.register_module()
class LocalMIM(BaseSelfSupervisor):
    """LocalMIM: several blocks of the encoder reconstruct targets, each at its own scale.

    Backbone :class:`LocalMIMViT` or ``LocalMIMSwin``, neck :class:`LocalMIMDecoder` or
    ``LocalMIMSwinDecoder``, head :class:`LocalMIMHead`. Samples carry ``mask``, of the transform
    ``RandomPatchMask`` (ViT) or ``UnitMask`` (Swin). Where the backbone needs one mask for the
    whole batch on a device (``shares_mask``), the first sample's holds.

    Source: LocalMIM, arXiv:2303.05251; Haoqing-Wang/LocalMIM@314a6e5.
    """

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The backbone's features of full, unmasked images."""
        return self.backbone(inputs)

    def loss(
        self, inputs: torch.Tensor, data_samples: MaskedSamples | list[DataSample], **_: object
    ) -> dict[str, torch.Tensor]:
        """The losses of a batch; see :meth:`LocalMIMHead.compare`."""
        mask = self.mask_of(data_samples)
        # Before the network runs, so that their buffers are freed before its activations exist.
        targets = self.head.targets(inputs)
        preds = self.neck(self.backbone(inputs, mask), mask, hidden_only=True)
        return self.head.compare(preds, targets, mask)

    def mask_of(self, data_samples: MaskedSamples | list[DataSample]) -> Mask:
        """The mask of a batch."""
        mask = gather_masks(data_samples).mask
        return mask.first() if self.backbone.shares_mask else mask


@MODELS.register_module()
class LocalMIMViT(VisibleViT):
    """LocalMIM's ViT: returns the tokens after several blocks, one for each task.

    Args:
        arch: See :class:`VisibleViT`.
        guided_blocks: Blocks that have a task, counted from 0, ascending; None is
            LocalMIM's rule: [1, 3, depth - 3, depth - 1].
        **kwargs: Arguments of :class:`VisibleViT`; no norm follows the last block, since every
            task's decoder begins with one of its own.

    Raises:
        ConfigError: ``guided_blocks`` are not ascending, or name a block that does not exist.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        *,
        guided_blocks: Sequence[int] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(arch, final_norm=False, **kwargs)
        depth = self.num_layers
        blocks = [1, 3, depth - 3, depth - 1] if guided_blocks is None else list(guided_blocks)
        if blocks != sorted(set(blocks)) or not blocks or not 0 <= blocks[0] <= blocks[-1] < depth:
            raise ConfigError(
                f'LocalMIMViT: guided_blocks {blocks} must rise and lie in 0 to {depth - 1}, '
                f'since the network has {depth} blocks. Name them in the config.'
            )
        self.guided_blocks = blocks
        self.freeze_behind(blocks[-1] + 1)

    def forward(
        self, x: torch.Tensor, mask: Mask | torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Encode images.

        Args:
            x: Images (B, C, H, W).
            mask: Hidden patches; None encodes the full image, at any size.

        Returns:
            With a mask, for each guided block (B, 1 + visible, C), not normalised: class
            token, then visible patches in raster order. Without: as :class:`VisibleViT`.
        """
        if mask is None:
            return super().forward(x)
        tokens = self.embed_visible(x, Mask.of(mask))
        return tuple(self.run_blocks(tokens, self.grid, self.guided_blocks))


class HiddenDecoder(OwnWeights, BaseModule):
    """Decoder of one task: visible features to tokens of the hidden patches, or of all.

    Layers: the task's norm, a linear layer, mask tokens for hidden patches, fixed positions,
    transformer blocks, norm. Tokens are not sorted back into raster order: attention ignores the
    order, and every token gets the position embedding of its own patch.

    Args:
        in_dims: Width of the features.
        grid: Tokens of the whole grid as (rows, cols).
        embed_dims: Width of the decoder.
        num_heads: Heads of a block.
        depth: Blocks.
        class_token: Whether the features begin with a class token.
        init_cfg: Initialisation of mmengine.

    Source: LocalMIM. Differs: the task's norm (``encoder.norm.k`` there) is the decoder's first
    layer, so that the backbone has the keys of a plain one; unused tokens are left out
    of the last block.
    """

    def __init__(
        self,
        in_dims: int,
        grid: tuple[int, int],
        embed_dims: int,
        num_heads: int,
        *,
        depth: int = 1,
        class_token: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_prefix = int(class_token)
        self.norm_in = nn.LayerNorm(in_dims, eps=NORM_EPS)
        self.embed = nn.Linear(in_dims, embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        table = sincos_position_embedding(tuple(grid), embed_dims)
        prefix = torch.zeros(self.num_prefix, embed_dims)  # the class token has no position
        self.pos_embed = nn.Parameter(torch.cat((prefix, table))[None], requires_grad=False)
        self.blocks = nn.ModuleList(TransformerBlock(embed_dims, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dims, eps=NORM_EPS)

    def init_own_weights(self) -> None:
        """Xavier for linear layers; the mask token is normal with deviation 0.02."""
        self.apply(init_mae_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self, features: torch.Tensor, mask: Mask, *, everywhere: bool = False
    ) -> torch.Tensor:
        """Decode features.

        Args:
            features: (B, prefix + visible, in_dims), not normalised, class token first, then
                in the order of ``mask.visible``.
            mask: Mask over the grid.
            everywhere: Decode all patches instead of the hidden ones only.

        Returns:
            Normalised tokens (B, hidden, embed_dims) in the order of ``mask.hidden``, or
            (B, rows * cols, embed_dims) in raster order.
        """
        known, n = self.embed(self.norm_in(features)), self.num_prefix
        places = F.pad(mask.visible + n, (n, 0))  # the class token stands at place 0
        known = known + take_tokens(self.pos_embed, places)
        guesses = self.mask_token + take_tokens(self.pos_embed, mask.hidden + n)
        tokens = torch.cat((known, guesses.expand(len(known), -1, -1)), dim=1)
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        wanted = slice(n if everywhere else known.shape[1], None)
        tokens = self.norm(self.blocks[-1](tokens, None, wanted))
        return take_tokens(tokens, mask.ranks) if everywhere else tokens


class TokenUpsample(nn.ConvTranspose2d):
    """A transposed 2x2 convolution of stride 2, applied to each token alone."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2, stride=2)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Upsample: (B, n, I) -> (B, 4 n, O), the four children of a token in raster order."""
        matrix = self.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 * 2 * O, I)
        children = F.linear(tokens, matrix, self.bias.repeat(4))
        return children.unflatten(2, (4, -1)).flatten(1, 2)


class ScaledPrediction(BaseModule):
    """One of LocalMIM's prediction heads for ViT.

    Scale 4 is a transposed 2x2 convolution, LayerNorm, GELU, a second one and a 1x1
    convolution; scale 2 a transposed and a 1x1 convolution; scale 1 the 1x1 convolution;
    scale 0.5 the mean over 2x2 tokens before it. A transposed convolution halves the width.
    None of the layers mixes neighbouring patches, so any selection of them can be predicted.

    Args:
        in_dims: Width of a token.
        out_dims: Length of a prediction.
        scale: Predictions along a side of a patch: 4, 2, 1 or 0.5.

    Raises:
        ConfigError: ``scale`` is unknown.

    Source: LocalMIM, ``decoder.k.pred``.
    """

    def __init__(self, in_dims: int, out_dims: int, scale: float) -> None:
        super().__init__()
        if scale not in UPSAMPLINGS:
            raise ConfigError(f'ScaledPrediction: scale {scale} is none of {list(UPSAMPLINGS)}.')
        self.scale = scale if scale < 1 else int(scale)
        widths = [in_dims // 2**i for i in range(UPSAMPLINGS[scale] + 1)]
        self.ups = nn.ModuleList(TokenUpsample(*pair) for pair in pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=NORM_EPS) for width in widths[1:-1])
        self.proj = PatchConv(widths[-1], out_dims)

    def forward(self, tokens: torch.Tensor, grid: tuple[int, int] | None = None) -> torch.Tensor:
        """Predict the targets.

        Args:
            tokens: (B, n, D), of any selection of patches, or of the whole grid in raster order.
            grid: (rows, cols) of the whole grid, needed for scale 0.5.

        Returns:
            (B, n * scale ** 2, out_dims). Without a grid patch after patch, a patch's cells on
            the Z-curve (``token_places``); with one in raster order.

        Raises:
            ConfigError: The scale is 0.5 and a side of the grid odd.
        """
        if self.scale < 1:
            if grid[0] % 2 or grid[1] % 2:
                raise ConfigError(
                    f'ScaledPrediction: scale {self.scale} needs a grid with even sides, not '
                    f'{tuple(grid)}. Choose an image size that is a multiple of two patches.'
                )
            squares = tokens.unflatten(1, (grid[0] // 2, 2, grid[1] // 2, 2))
            return self.proj(squares.mean(dim=(2, 4)).flatten(1, 2))
        x, levels = tokens, len(self.ups)
        for i, up in enumerate(self.ups):
            x = up(x)
            if i < levels - 1:
                x = F.gelu(self.norms[i](x))
        cells = self.proj(x)
        if grid is None:
            return cells
        cells = cells.unflatten(1, (*grid, *[2] * (2 * levels)))
        # (B, rows, cols, y, x, y, x, ..., out) -> (B, rows, y, y, ..., cols, x, x, ..., out)
        ys, xs = range(3, 3 + 2 * levels, 2), range(4, 4 + 2 * levels, 2)
        return cells.permute(0, 1, *ys, 2, *xs, cells.dim() - 1).flatten(1, -2)


@MODELS.register_module()
class LocalMIMDecoder(BaseModule):
    """The decoders of LocalMIM's ViT: fine targets for early blocks, coarse ones for late blocks.

    Args:
        in_dims: Width of the encoder.
        out_dims: Length of a prediction of each task, or one number for all.
        grid: Patches as (rows, cols).
        scales: Predictions along a side of a patch, for each task: 4, 2, 1 or 0.5.
        embed_dims: Width of a decoder.
        num_heads: Heads of a block.
        depth: Transformer blocks of a decoder.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: ``out_dims`` and ``scales`` differ in number, or a scale is unknown.
    """

    def __init__(
        self,
        in_dims: int = 768,
        out_dims: int | Sequence[int] = 27,
        *,
        grid: tuple[int, int] = (14, 14),
        scales: Sequence[float] = (4, 2, 1, 0.5),
        embed_dims: int = 256,
        num_heads: int = 8,
        depth: int = 1,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        lengths = [out_dims] * len(scales) if isinstance(out_dims, int) else list(out_dims)
        if len(lengths) != len(scales):
            raise ConfigError(
                f'LocalMIMDecoder: {len(lengths)} out_dims for {len(scales)} scales. Give one '
                'for each task, or one number for all.'
            )
        self.decoders = ModuleList(  # mmengine's, which initialises its modules
            HiddenDecoder(in_dims, grid, embed_dims, num_heads, depth=depth, class_token=True)
            for _ in scales
        )
        self.preds = nn.ModuleList(
            ScaledPrediction(embed_dims, length, scale)
            for length, scale in zip(lengths, scales, strict=True)
        )

    def forward(
        self,
        features: Sequence[torch.Tensor],
        mask: Mask | torch.Tensor,
        *,
        hidden_only: bool = False,
    ) -> list[torch.Tensor]:
        """Predict the targets.

        Args:
            features: For each task (B, 1 + visible, C), class token first, then visible
                patches in raster order.
            mask: Hidden patches.
            hidden_only: Predict only cells that can have a loss: at scales from 1 the cells of the
                hidden patches.

        Returns:
            For each task (B, cells, length): the cells of its grid in raster order, or those of
            the hidden patches, as :class:`ScaledPrediction` orders them.
        """
        mask, preds = Mask.of(mask), []
        for x, decoder, pred in zip(features, self.decoders, self.preds, strict=True):
            everywhere = not hidden_only or pred.scale < 1
            tokens = decoder(x, mask, everywhere=everywhere)
            preds.append(pred(tokens, mask.grid if everywhere else None))
        return preds


@MODELS.register_module()
class LocalMIMHead(BaseModule):
    """LocalMIM's targets and loss: the error of multi-scale targets where the mask hides them.

    The loss of a task is the squared error, averaged over a cell's vector and over the cells
    in proportion to how much of each is hidden; the losses of the tasks are added up.

    Args:
        patch_size: Side of a mask patch in pixels: 16 for ViT, the 32 px unit for Swin.
        scales: For each task the cells along a side of a mask patch: a whole number, or one
            over a whole number for cells of several patches.
        target: 'hog' or 'pixel'.
        num_bins: Bins of a gradient histogram, over half a turn.
        norm_pix: Normalise every target patch of pixels to zero mean and unit variance.
        hog_bias: Add two constants, different for each task, to the gradients. They are drawn
            once from U(-1/3, 1/3), stored with the weights and never trained.
        bias_seed: Seed of that draw.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: ``target`` is unknown, or a scale does not divide the patch.

    Source: LocalMIM. Differs: the official code draws ``hog_bias`` from the global generator when
    it builds the model.
    """

    def __init__(
        self,
        patch_size: int = 16,
        scales: Sequence[float] = (4, 2, 1, 0.5),
        *,
        target: str = 'hog',
        num_bins: int = 9,
        norm_pix: bool = True,
        hog_bias: bool = False,
        bias_seed: int = 0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if target not in TARGETS:
            raise ConfigError(f'LocalMIMHead: target {target!r} must be one of {TARGETS}.')
        self.patch_size, self.scales = patch_size, tuple(scales)
        self.cells = [_cell_size(patch_size, scale) for scale in scales]
        self.target, self.num_bins, self.norm_pix = target, num_bins, norm_pix
        self.hog_bias = hog_bias and target == 'hog'
        if self.hog_bias:
            generator = torch.Generator().manual_seed(bias_seed)
            drawn = torch.rand(len(self.cells), 2, generator=generator, device='cpu')
            for k, pair in enumerate((2 * drawn - 1) * BIAS_BOUND):
                self.register_buffer(f'hog_bias{k}', pair.clone())

    def targets(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The targets of each task.

        Args:
            images: (B, C, H, W), normalised as the encoder saw them.

        Returns:
            For each task float32 (B, cells, length), the cells in raster order.
        """
        if self.target == 'hog':
            tasks = range(len(self.cells))
            biases = [getattr(self, f'hog_bias{k}') for k in tasks] if self.hog_bias else None
            return hog_pyramid(images, self.num_bins, self.cells, biases)
        patches = [patchify(images.float(), cell) for cell in self.cells]
        return [normalize_patches(x) if self.norm_pix else x for x in patches]

    def compare(
        self,
        preds: Sequence[torch.Tensor],
        targets: Sequence[torch.Tensor],
        mask: Mask | torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Compute the loss.

        Args:
            preds: For each task (B, cells, length): all cells in raster order, or those of
                the hidden patches alone, as a neck gives them with ``hidden_only``.
            targets: Result of :meth:`targets`.
            mask: Mask over the mask patches; a mask of one image holds for all.

        Returns:
            ``loss``, the sum, and ``task0_mse``, ``task1_mse``, ... without gradient: names
            that mmengine logs but does not add to the loss.
        """
        mask = Mask.of(mask)
        parts = [
            self._task_loss(pred.float(), target, mask, scale)
            for pred, target, scale in zip(preds, targets, self.scales, strict=True)
        ]
        logged = {f'task{k}_mse': part.detach() for k, part in enumerate(parts)}
        return {'loss': sum(parts), **logged}

    def _task_loss(
        self, pred: torch.Tensor, target: torch.Tensor, mask: Mask, scale: float
    ) -> torch.Tensor:
        if pred.shape == target.shape:
            weights = rescale_mask(mask.is_hidden, scale)
            errors = (pred - target).square().mean(dim=-1)
            return (errors * weights).sum() / weights.expand_as(errors).sum()
        places = token_places(mask.hidden, mask.grid, round(scale))
        return F.mse_loss(pred, take_tokens(target, places))


def rescale_mask(is_hidden: torch.Tensor, scale: float) -> torch.Tensor:
    """The share of every cell that a mask hides.

    Args:
        is_hidden: (B, rows, cols) bool, over mask patches.
        scale: Cells along a side of a mask patch; under 1, a cell covers several patches.

    Returns:
        float32 (B, rows * scale * cols * scale) in [0, 1], raster order.
    """
    weights = is_hidden.float()
    if scale < 1:
        weights = F.avg_pool2d(weights[:, None], round(1 / scale))
    elif scale > 1:
        weights = weights.repeat_interleave(int(scale), 1).repeat_interleave(int(scale), 2)
    return weights.flatten(1)


def _cell_size(patch_size: int, scale: float) -> int:
    whole = scale if scale >= 1 else 1 / scale
    cell = patch_size / scale
    if not math.isclose(whole, round(whole)) or not math.isclose(cell, round(cell)):
        raise ConfigError(
            f'LocalMIMHead: scale {scale} does not divide patches of {patch_size} pixels. Use a '
            'whole number that divides patch_size, or one over a whole number.'
        )
    return round(cell)
