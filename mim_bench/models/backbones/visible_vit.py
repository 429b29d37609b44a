"""The masked encoder of MAE-type methods."""

from typing import ClassVar

import torch

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask, take_tokens
from mim_bench.models.backbones.vit import ViT
from mim_bench.registry import MODELS


@MODELS.register_module()
class VisibleViT(ViT):
    """The encoder of MAE-type methods: a ViT that leaves out hidden patches.

    It has a class token and fixed sine-cosine positions. The plain :class:`ViT` and
    mmpretrain's ``VisionTransformer`` load the result.

    Args:
        arch: See :class:`ViT`.
        out_type: Type of the features of full images; see :class:`ViT`.
        **kwargs: Arguments of :class:`ViT`.

    Raises:
        ConfigError: An argument asks for windows or relative positions.

    Source: MAE, arXiv:2111.06377, official ``models_mae.py``. Differs: the visible patches
    are picked before the patch embedding, which gives the same numbers.
    """

    shares_mask: ClassVar[bool] = False

    def __init__(self, arch: str | dict = 'base', *, out_type: str = 'raw', **kwargs: object):
        wrong = {'abs_pos', 'rel_pos_bias', 'window_size', 'with_cls_token'} & set(kwargs)
        if wrong:
            raise ConfigError(
                f'{type(self).__name__}: always has a class token, fixed positions and global '
                f'attention. Leave {", ".join(sorted(wrong))} out.'
            )
        super().__init__(arch, out_type=out_type, abs_pos='fixed', **kwargs)

    def _num_trained_blocks(self) -> int:
        return self.num_layers

    def forward(
        self, x: torch.Tensor, mask: Mask | torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Encode images.

        Args:
            x: Images (B, C, H, W).
            mask: Hidden patches; None encodes the full image, at any size.

        Returns:
            With a mask one tensor (B, 1 + visible, C): class token, then visible patches in
            raster order, after the last norm if there is one. Without: as :class:`ViT`.
        """
        if mask is None:
            return super().forward(x)
        tokens = self.embed_visible(x, Mask.of(mask))
        return tuple(self.run_blocks(tokens, self.grid, (self.num_layers - 1,)))

    def embed_visible(self, images: torch.Tensor, mask: Mask) -> torch.Tensor:
        """Tokens (B, 1 + visible, C): class token, then patches in raster order."""
        patches = self.visible_patches(images, mask)
        return torch.cat((self.class_token(len(patches)), patches), dim=1)

    def class_token(self, batch: int) -> torch.Tensor:
        """The class token with its position: (B, 1, C)."""
        return (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)

    def visible_patches(self, images: torch.Tensor, mask: Mask) -> torch.Tensor:
        """The embedded visible patches with their positions: (B, visible, C).

        Raises:
            ConfigError: The images or the mask are not of the size that the network is for.
        """
        size = tuple(side * patch for side, patch in zip(self.grid, self.patch_size, strict=True))
        if tuple(images.shape[-2:]) != size or mask.grid != self.grid:
            raise ConfigError(
                f'{type(self).__name__}: images of {tuple(images.shape[-2:])} pixels with masks '
                f'of {mask.grid} patches, but the network was made for {size} pixels and '
                f'{self.grid} patches. Make img_size, the crop and input_size of the mask agree.'
            )
        patches = self.patch_embed(images, mask.visible)
        return patches + take_tokens(self.pos_embed[:, 1:], mask.visible)
