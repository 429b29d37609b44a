"""Pre-training of a pyramid encoder on the compact grid: what Swin and PVT share."""

import torch
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.compact_grid import CompactGrid
from mim_bench.models.layers.patches import take_patches


class CompactPretraining:
    """Mixin before a :class:`UMMAEPyramid`: it encodes the visible quarter as one dense map.

    With masks, the sampled patches are gathered from the image into a compact image of half
    the side before the patch embedding, and every token keeps the place it had in the full
    image. Without masks the encoder is the one mixed in.

    Args:
        arch: Of the encoder.
        mask_patch_size: Side of a mask patch in pixels.
        **kwargs: Of the encoder; ``final_norm`` is on by default.

    Raises:
        ConfigError: ``mask_patch_size`` is not a multiple of ``patch_size``.

    Source: UM-MAE, arXiv:2205.10063, sections on uniform sampling and secondary masking.
    Differs: gathers the kept patches where the official code embeds all of them and sums
    them up with a dilated depth-wise convolution; the result is the same.
    """

    def __init__(self, arch: str | dict, *, mask_patch_size: int = 16, **kwargs: object) -> None:
        kwargs.setdefault('final_norm', True)
        super().__init__(arch, **kwargs)
        if mask_patch_size % self.patch_size:
            raise ConfigError(
                f'{type(self).__name__}: mask_patch_size {mask_patch_size} is not a multiple of '
                f'patch_size {self.patch_size}.'
            )
        self.mask_patch_size = mask_patch_size
        self.tokens_per_patch = mask_patch_size // self.patch_size
        self.vis_mask_token = nn.Parameter(torch.zeros(1, 1, self.stage_dims[0]))

    def init_weights(self) -> None:
        """As the encoder; the secondary mask token is normal with deviation 0.02."""
        super().init_weights()
        if not isinstance(self.init_cfg, dict) or self.init_cfg['type'] != 'Pretrained':
            nn.init.normal_(self.vis_mask_token, std=0.02)

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None = None,
        hidden: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) bool over the mask patches, True = not sampled, one False
                in every 2x2 cell; None encodes the full image.
            hidden: Like ``mask``: True = not seen as image content; a superset of ``mask``.

        Returns:
            With masks one map (B, C, rows / 4, cols / 4), after the last norm; else the
            maps of the encoder, one for each of ``out_indices``.
        """
        if mask is None:
            return super().forward(x)
        cells = CompactGrid.from_mask(mask)
        places = cells.token_places(self.tokens_per_patch)
        x = self.embed_compact(x, cells, mask if hidden is None else hidden)
        *_, x = self.run_stages(self.add_positions(x, places), places)
        return ((x if self.norm is None else self.norm(x)).permute(0, 3, 1, 2),)

    def embed_compact(
        self, images: torch.Tensor, cells: CompactGrid, hidden: torch.Tensor
    ) -> torch.Tensor:
        """Tokens (B, h, w, D) of the sampled patches.

        Those that are hidden, too, become the secondary mask token, which passes the norm of
        the patch embedding, if it has one, as patches do.
        """
        x = self.patch_embed.embed(self.cut_tokens(images, cells))
        is_hidden = cells.gather(hidden[..., None]).squeeze(-1)  # (B, cell rows, cell cols)
        is_hidden = is_hidden.repeat_interleave(self.tokens_per_patch, 1)
        is_hidden = is_hidden.repeat_interleave(self.tokens_per_patch, 2)
        token = self.patch_embed.norm(self.vis_mask_token)[:, None]
        return torch.where(is_hidden[..., None], token.to(x.dtype), x)

    def cut_tokens(self, images: torch.Tensor, cells: CompactGrid) -> torch.Tensor:
        """The pixels of every token of the compact map: (B, C, H, W) -> (B, h, w, C * patch ** 2).

        The sampled patches are copied out of the image as a whole, then cut into tokens.
        """
        b, rows, cols = cells.corner.shape
        t, p = self.tokens_per_patch, self.patch_size
        patches = take_patches(images, cells.patch_index(), (self.mask_patch_size,) * 2)
        patches = patches.reshape(b, rows, cols, -1, t, p, t, p)
        # (B, rows, cols, C, t, p, t, p) -> (B, rows, t, cols, t, C, p, p)
        return patches.permute(0, 1, 4, 2, 6, 3, 5, 7).reshape(b, rows * t, cols * t, -1)
