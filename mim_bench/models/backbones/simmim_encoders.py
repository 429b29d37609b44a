"""SimMIM's encoders: networks that put a mask token in place of each hidden patch.

They return the last map, as mmpretrain's ``SimMIM`` expects.
"""

from collections.abc import Sequence

import torch
from torch import nn

from mim_bench.masking.mask import Mask
from mim_bench.models.backbones.swin import Swin
from mim_bench.models.backbones.ummae_pvt import UMMAEPvt
from mim_bench.models.backbones.ummae_swin import UMMAESwin
from mim_bench.models.methods.conmim import ConMIMViT
from mim_bench.registry import MODELS


def _is_hidden(mask: Mask | torch.Tensor) -> torch.Tensor:
    """Convert a mask to bool (B, rows, cols); mmpretrain's masks are numbers, 1 = hidden."""
    return mask.is_hidden if isinstance(mask, Mask) else mask.bool()


@MODELS.register_module()
class SimMIMViT(ConMIMViT):
    """SimMIM's ViT: BEiT's transformer with mask tokens and one shared table of positions.

    Source: SimMIM, arXiv:2111.09886; microsoft/SimMIM@d3e29bc, models/simmim.py.
    """

    def forward(
        self, x: torch.Tensor, mask: Mask | torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Encode images.

        Args:
            x: Images (B, C, H, W).
            mask: Mask over the patches, also as (B, rows, cols) with 1 = hidden; None encodes the
                full image.

        Returns:
            With a mask one map (B, C, rows, cols), after the last norm; else the features of
            :class:`ConMIMViT`.
        """
        if mask is None:
            return super().forward(x)
        patches, grid = self.embed_patches(x)
        is_hidden = _is_hidden(mask).flatten(1)[..., None]
        tokens = self.with_positions(torch.where(is_hidden, self.mask_token, patches), grid)
        (tokens,) = self.run_blocks(tokens, grid, (self.num_layers - 1,))
        return (tokens[:, 1:].transpose(1, 2).unflatten(2, grid),)


class _MaskTokenPyramid:
    """Mixin before a pyramid that replaces hidden tokens by mask tokens.

    The token takes the place of an embedded patch, after the norm of the patch embedding.

    Args:
        arch: Sizes of the pyramid.
        **kwargs: Arguments of the pyramid.
    """

    def __init__(self, arch: str | dict = 'tiny', **kwargs: object) -> None:
        super().__init__(arch, **kwargs)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.stage_dims[0]))

    def init_own_weights(self) -> None:
        """Initialise as the pyramid; the mask token is normal with deviation 0.02."""
        super().init_own_weights()
        nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(
        self, x: torch.Tensor, mask: Mask | torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Encode images.

        Args:
            x: Images (B, C, H, W).
            mask: Mask over the tokens of the first stage, also as (B, rows, cols) with 1 = hidden;
                None encodes the full image.

        Returns:
            With a mask the last map (B, C, h, w), normalised. Without: a map for each of
            ``out_indices``, which must include the last stage.
        """
        if mask is None:
            return super().forward(x)
        x, is_hidden = self.patch_embed(x), _is_hidden(mask)[..., None]
        return self.run_stages(torch.where(is_hidden, self.mask_token.to(x.dtype), x))[-1:]


@MODELS.register_module()
class MaskTokenSwin(_MaskTokenPyramid, Swin):
    """SimMIM's Swin, with the weight names of mmpretrain's ``SimMIMSwinTransformer``.

    Args:
        arch: See :class:`Swin`.
        stage_cfgs: Window sizes in mmpretrain's form: ``block_cfgs.window_size`` for all
            stages, or a list of such entries.
        img_size: Side of the training images in pixels; masks have a bool for each patch.
        **kwargs: Arguments of :class:`Swin`; ``out_norms`` is on by default.

    Source: SimMIM, arXiv:2111.09886.
    """

    def __init__(
        self,
        arch: str | dict = 'tiny',
        *,
        stage_cfgs: dict | Sequence[dict] | None = None,
        img_size: int = 224,
        **kwargs: object,
    ) -> None:
        if stage_cfgs is not None:
            is_one = isinstance(stage_cfgs, dict)
            stages = [stage_cfgs] if is_one else stage_cfgs
            sizes = [stage['block_cfgs']['window_size'] for stage in stages]
            kwargs['window_size'] = sizes[0] if is_one else sizes
        super().__init__(arch, **{'out_norms': True, **kwargs})


@MODELS.register_module()
class UMMAESimMIMSwin(_MaskTokenPyramid, UMMAESwin):
    """:class:`UMMAESwin` with mask tokens, as UM-MAE's SimMIM baseline.

    Source: implus/UM-MAE@cb7776b.
    """

    def __init__(self, arch: str | dict = 'tiny', **kwargs: object) -> None:
        super().__init__(arch, final_norm=True, **kwargs)


@MODELS.register_module()
class UMMAESimMIMPvt(_MaskTokenPyramid, UMMAEPvt):
    """:class:`UMMAEPvt` with mask tokens and a fixed table of positions, as UM-MAE's baseline.

    Source: implus/UM-MAE@cb7776b.
    """

    def __init__(self, arch: str | dict = 'small', **kwargs: object) -> None:
        super().__init__(arch, final_norm=True, learnable_positions=False, **kwargs)
