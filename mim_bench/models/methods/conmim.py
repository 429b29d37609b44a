"""ConMIM: contrast of hidden patches with the patches of a momentum teacher."""

import torch
from mmengine.model import BaseModule
from mmpretrain.models.necks import NonLinearNeck
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.relative_bias import INDEX, relative_position_index
from mim_bench.data.masked_samples import MaskedSamples, gather_masks
from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask, take_tokens
from mim_bench.models.backbones.vit import STD, ViT
from mim_bench.models.layers.momentum import MomentumNetwork
from mim_bench.registry import MODELS


@MODELS.register_module()
class ConMIM(BaseSelfSupervisor):
    """ConMIM: a student sees a masked plain view, a momentum teacher the full, distorted one.

    Both views show the same crop, so a patch has the same index in both. The inputs are a list
    with the student's view first (mmpretrain's ``MultiView``). Every data sample carries ``mask``.
    ``MomentumHook`` must run.

    Args:
        backbone: Config of :class:`ConMIMViT`.
        neck: Config of :class:`ConMIMProjector`.
        head: Config of :class:`PatchContrastHead`.
        momentum: Arguments of :class:`MomentumNetwork`; momentum from 0.996 to 1 if None.
        data_preprocessor: Config of mmpretrain's ``SelfSupDataPreprocessor``.
        init_cfg: Initialisation of mmengine.

    Attributes:
        teacher: The momentum network. ConMIM fine-tunes it, not the student.

    Source: ConMIM, arXiv:2205.09616, TencentARC/ConMIM@4263955.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        head: dict,
        *,
        momentum: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(
            backbone, neck, head, data_preprocessor=data_preprocessor, init_cfg=init_cfg
        )
        parts = dict(backbone=self.backbone, neck=self.neck)
        # Always in train mode: its projector normalises by its own batch.
        self.teacher = MomentumNetwork(parts, train_mode=True, **(momentum or {}))

    @property
    def momentum_network(self) -> MomentumNetwork:
        """The network that ``MomentumHook`` updates."""
        return self.teacher

    def init_weights(self) -> None:
        """Initialise the parts; the teacher starts as a copy of the student."""
        super().init_weights()
        self.teacher.synchronize(self)

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The teacher's features of full images (B, 3, H, W); see ``ConMIMViT.forward``."""
        return self.teacher['backbone'](inputs)

    def loss(
        self,
        inputs: list[torch.Tensor],
        data_samples: MaskedSamples | list[DataSample],
        **_: object,
    ) -> dict[str, torch.Tensor]:
        """The contrastive loss of a batch, ``{'loss': scalar}``.

        Before training it is about ln K for K patches (5.278 for 196), or more.
        """
        plain, distorted = self.views(inputs)
        mask = gather_masks(data_samples).mask
        # First, so that no activations of the student are in memory meanwhile.
        keys = self.keys(distorted)
        queries = take_tokens(self.queries(plain, mask), mask.hidden)
        return {'loss': self.head.loss(queries, keys, mask.hidden)}

    def queries(self, images: torch.Tensor, mask: Mask | torch.Tensor) -> torch.Tensor:
        """The student's projection of all patches of masked images: (B, L, D)."""
        return self.neck(self.backbone(images, mask)[0])

    @torch.no_grad()
    def keys(self, images: torch.Tensor) -> torch.Tensor:
        """The teacher's projection of all patches of full images: (B, L, D)."""
        return self.teacher['neck'](self.teacher['backbone'](images)[0])

    @staticmethod
    def views(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """The plain and the distorted view of a batch."""
        if not isinstance(inputs, list | tuple) or len(inputs) != 2:
            found = len(inputs) if isinstance(inputs, list | tuple) else 1
            raise ConfigError(
                f'ConMIM: {found} view of an image instead of 2. Make the plain and the distorted '
                'one in the pipeline with MultiView(num_views=[1, 1], transforms=[[], [...]]).'
            )
        return list(inputs)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: object) -> None:
        """Load a file with one network, like the official ones, into student and teacher."""
        teacher = f'{prefix}teacher.'
        if not any(key.startswith(teacher) for key in state_dict):
            parts = tuple(f'{prefix}{name}.' for name in self.teacher.module)
            found = [key for key in state_dict if key.startswith(parts)]
            for key in found:
                state_dict[f'{teacher}module.{key.removeprefix(prefix)}'] = state_dict[key]
            if found:
                state_dict[f'{teacher}steps'] = torch.zeros_like(self.teacher.steps)
        super()._load_from_state_dict(state_dict, prefix, *args)


@MODELS.register_module()
class ConMIMViT(ViT):
    """The encoder: BEiT's transformer with mask tokens and one table of position biases.

    State-dict keys are those of mmpretrain's ``BEiTPretrainViT``, so the result loads into its
    ``BEiTViT``, which copies the shared table to every block.

    Args:
        arch: See :class:`ViT`; 'deit-small' is its 'small'.
        out_type: See :class:`ViT`.
        use_abs_pos_emb: Learned absolute positions (the recipe has the table only).
        use_shared_rel_pos_bias: One table of relative positions for all blocks.
        use_rel_pos_bias: Must be False.
        layer_scale_init_value: Initial value of the layer scale: 0.1, for ViT-L 1e-5.
        **kwargs: Arguments of :class:`ViT`.

    Raises:
        ConfigError: ``use_rel_pos_bias`` asks for a table in each block.

    Source: ConMIM; modeling_pretrain.py. Differs: no ``lm_head``, which the official network has
    and does not use (6.30 M of its 112.95 M parameters at ViT-B).
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        *,
        out_type: str = 'raw',
        use_abs_pos_emb: bool = False,
        use_shared_rel_pos_bias: bool = True,
        use_rel_pos_bias: bool = False,
        layer_scale_init_value: float = 0.1,
        **kwargs: object,
    ) -> None:
        if use_rel_pos_bias:
            raise ConfigError(
                'ConMIMViT: use_rel_pos_bias asks for a table in each block; pre-training has '
                'one for all blocks. Set use_shared_rel_pos_bias.'
            )
        super().__init__(
            'small' if arch == 'deit-small' else arch,
            out_type=out_type,
            abs_pos='learned' if use_abs_pos_emb else 'none',
            rel_pos_bias='shared' if use_shared_rel_pos_bias else 'none',
            qkv_bias='qv',
            layer_scale=layer_scale_init_value or None,
            **kwargs,
        )
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        if self.rel_pos_bias is not None:
            index = relative_position_index(self.grid, class_token=True)
            self.rel_pos_bias.register_buffer(INDEX, index)  # mmpretrain's files have it

    def init_own_weights(self) -> None:
        """Initialise as BEiT: truncated normal at one deviation, smaller in deeper projections."""
        self.init_beit_weights(bound=STD)
        for token in (self.mask_token, self.pos_embed):
            if token is not None:
                nn.init.trunc_normal_(token, std=STD, a=-STD, b=STD)

    def forward(
        self, x: torch.Tensor, mask: Mask | torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Encode images.

        Args:
            x: Images (B, C, H, W) of the size that the network was built for.
            mask: Hidden patches, which mask tokens replace. None: the full image.

        Returns:
            With a mask one tensor (B, 1 + rows * cols, C), the class token first, after the
            last norm if there is one. Without: the features of :class:`ViT`.

        Raises:
            ConfigError: ``mask`` does not have the grid of the patches.
        """
        if mask is None:
            return super().forward(x)
        mask = Mask.of(mask)
        patches, grid = self.embed_patches(x)
        if mask.grid != grid:
            raise ConfigError(
                f'{type(self).__name__}: a mask of {mask.grid} patches for images of {grid}. Give '
                'the transform of the mask the size of the images and of their patches.'
            )
        patches = torch.where(mask.is_hidden.flatten(1)[..., None], self.mask_token, patches)
        tokens = self.with_positions(patches, grid)
        return tuple(self.run_blocks(tokens, grid, (self.num_layers - 1,)))


@MODELS.register_module()
class LocalBatchNorm(nn.Module):
    """``nn.BatchNorm1d`` that no ``sync_bn`` setting converts to SyncBN.

    For methods whose recipe normalises by the batch of a GPU. State-dict keys are those of
    ``nn.BatchNorm1d``. As a layer of mmpretrain's necks:
    ``norm_cfg=dict(type='mim_bench.LocalBatchNorm')``.

    Args:
        num_features: Number of channels C.
        eps: Added to the variance.
        momentum: Share of a batch in the running statistics.
        affine: Learn scale and shift.
    """

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = True
    ) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer('running_mean', torch.zeros(num_features))
        self.register_buffer('running_var', torch.ones(num_features))
        self.register_buffer('num_batches_tracked', torch.tensor(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C); by the batch in train mode, else by the running statistics."""
        if self.training:
            self.num_batches_tracked += 1
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )


@MODELS.register_module()
class ConMIMProjector(NonLinearNeck):
    """ConMIM's projector: twice linear, BatchNorm, ReLU; then linear, BatchNorm without affine.

    BatchNorm normalises over all tokens of the images of one process: class token and visible
    patches count, other processes never do. State-dict keys are those of mmpretrain's
    ``NonLinearNeck``.

    Args:
        in_channels: Width C of a token.
        hid_channels: Width of both hidden layers.
        out_channels: Width D of the output.

    Source: ConMIM, ``projectors`` of modeling_pretrain.py.
    """

    def __init__(self, in_channels: int, hid_channels: int = 4096, out_channels: int = 256) -> None:
        super().__init__(
            in_channels,
            hid_channels,
            out_channels,
            num_layers=3,
            with_last_bn_affine=False,
            with_avg_pool=False,
            norm_cfg=dict(type='mim_bench.LocalBatchNorm'),
            # Cut at one deviation, as in the encoder.
            init_cfg=dict(type='TruncNormal', layer='Linear', std=STD, a=-STD, b=STD),
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Project the patch tokens.

        Args:
            tokens: (B, 1 + L, C), the class token first.

        Returns:
            (B, L, D): the patches; not of unit length.
        """
        (projected,) = super().forward((tokens.flatten(0, 1),))
        return projected.unflatten(0, tokens.shape[:2])[:, 1:]


@MODELS.register_module()
class PatchContrastHead(BaseModule):
    """InfoNCE loss of a patch against all patches of the same image.

    Args:
        temperature: Temperature tau.
        init_cfg: Initialisation of mmengine.

    Source: ConMIM. Differs: the logits are float32 under mixed precision too.
    """

    level = 'patch'

    def __init__(self, temperature: float = 0.1, init_cfg: dict | list | None = None) -> None:
        super().__init__(init_cfg)
        self.temperature = temperature

    def loss(self, query: torch.Tensor, key: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Compute the loss.

        Args:
            query: (B, n, D), projected patches, with gradient.
            key: (B, L, D), all patches of the same images in raster order, projected by the
                momentum network.
            index: (B, n) int64, the places of the queries among the keys.

        Returns:
            A scalar float32: the mean of CE(cosines / tau) over all queries.
        """
        with torch.autocast(query.device.type, enabled=False):
            query = F.normalize(query.float(), dim=-1)
            key = F.normalize(key.detach().float(), dim=-1)
            logits = query @ key.transpose(1, 2) / self.temperature  # (B, n, L)
        return F.cross_entropy(logits.flatten(0, 1), index.flatten())
