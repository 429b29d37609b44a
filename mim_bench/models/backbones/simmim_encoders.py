"""SimMIM's encoders beside mmpretrain's Swin: its ViT, and UM-MAE's pyramids.

Each replaces hidden patches with a learned token after the patch embedding and gives the last map,
as mmpretrain's ``SimMIM`` expects.
"""

import torch
from torch import nn

from mim_bench.models.backbones.conmim_vit import ConMIMViT
from mim_bench.models.backbones.ummae_pvt import UMMAEPvt
from mim_bench.models.backbones.ummae_swin import UMMAESwin
from mim_bench.registry import MODELS


@MODELS.register_module()
class SimMIMViT(ConMIMViT):
    """BEiT's transformer with mask tokens and one table of relative positions; gives a map.

    Source: SimMIM, arXiv:2111.09886; microsoft/SimMIM@d3e29bc, models/simmim.py.
    """

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) over the patches, 1 = hidden; None encodes the full image.

        Returns:
            With a mask one map (B, C, rows, cols), after the last norm; else as
            :class:`ConMIMViT`.
        """
        if mask is None:
            return super().forward(x)
        (tokens,) = super().forward(x, mask.bool())
        return (tokens[:, 1:].transpose(1, 2).unflatten(2, tuple(mask.shape[1:])),)


class _MaskTokenPyramid:
    """A pyramid of UM-MAE that encodes the full map with mask tokens, as its SimMIM baseline.

    Args:
        arch: Of the pyramid.
        kwargs: Of the pyramid; the last map is normalised.

    Source: implus/UM-MAE@cb7776b, its SimMIM baselines.
    """

    def __init__(self, arch: str | dict, **kwargs: object) -> None:
        super().__init__(arch, final_norm=True, **kwargs)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.stage_dims[0]))

    def init_weights(self) -> None:
        """As the pyramid; the mask token is normal with deviation 0.02."""
        super().init_weights()
        if not isinstance(self.init_cfg, dict) or self.init_cfg['type'] != 'Pretrained':
            nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) over the tokens of the first stage, 1 = hidden; None encodes
                the full image.

        Returns:
            With a mask the last map (B, C, h, w), normalised. Without: a map for each of
            ``out_indices``.
        """
        if mask is None:
            return super().forward(x)
        tokens = self.patch_embed(x)  # (B, rows, cols, C)
        tokens = torch.where(mask.bool()[..., None], self.mask_token.to(tokens.dtype), tokens)
        *_, last = self.run_stages(self.add_positions(tokens))
        return (self.norm(last).permute(0, 3, 1, 2).contiguous(),)


@MODELS.register_module()
class UMMAESimMIMSwin(_MaskTokenPyramid, UMMAESwin):
    """:class:`UMMAESwin` with mask tokens."""


@MODELS.register_module()
class UMMAESimMIMPvt(_MaskTokenPyramid, UMMAEPvt):
    """:class:`UMMAEPvt` with mask tokens; its table of positions is fixed."""

    def __init__(self, arch: str | dict = 'small', **kwargs: object) -> None:
        super().__init__(arch, learnable_positions=False, **kwargs)
