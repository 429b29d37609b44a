"""The plain vision transformer of MAE-type methods: it encodes the visible patches only."""

import torch
from mmpretrain.models.backbones import VisionTransformer
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.errors import ConfigError
from mim_bench.masking.token_order import split_by_mask, take_tokens
from mim_bench.models.backbones.block_queries import forward_block
from mim_bench.models.mae_init import init_mae_weights
from mim_bench.registry import MODELS

# mmpretrain's own 'small' is another network: 8 layers of width 768.
ARCHITECTURES = {'small': 'deit-small'}


@MODELS.register_module()
class VisibleViT(VisionTransformer):
    """Class token, fixed sine-cosine positions, pre-norm blocks; hidden patches are left out.

    State-dict keys are those of mmpretrain's ``VisionTransformer``, which loads the result.

    Args:
        arch: 'small', 'base' or 'large' as MAE means them, another name of mmpretrain, or a
            dict with ``embed_dims``, ``num_layers``, ``num_heads``, ``feedforward_channels``.
        out_type: Of the features of full images: 'raw' (tokens, class token first),
            'featmap', 'cls_token' or 'avg_featmap' (which adds a norm).
        **kwargs: Of mmpretrain's ``VisionTransformer``: ``img_size`` (a side, or height and
            width), ``patch_size``, ``final_norm`` (on by default), ``out_indices``, ...

    Raises:
        ConfigError: ``arch`` is an unknown name.

    Source: MAE, arXiv:2111.06377, official ``models_mae.py``. Differs: the visible patches
    are picked before the patch embedding, which gives the same numbers.
    """

    def __init__(self, arch: str | dict = 'base', *, out_type: str = 'raw', **kwargs: object):
        if isinstance(arch, str):
            arch = ARCHITECTURES.get(arch.lower(), arch.lower())
            if arch not in self.arch_zoo:
                known = sorted({*ARCHITECTURES, *self.arch_zoo})
                raise ConfigError(f'VisibleViT: unknown arch {arch!r}. Known: {known}.')
        super().__init__(arch, out_type=out_type, with_cls_token=True, **kwargs)
        self.pos_embed.requires_grad = False
        self._fill_positions()

    def init_weights(self) -> None:
        """As MAE: Xavier for linear layers and the patch embedding, a normal class token."""
        super().init_weights()
        if isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained':
            return
        self.apply(init_mae_weights)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))
        nn.init.normal_(self.cls_token, std=0.02)
        self._fill_positions()

    def _fill_positions(self) -> None:
        table = sincos_position_embedding(self.patch_resolution, self.embed_dims)
        with torch.no_grad():
            self.pos_embed.zero_()  # the class token has no place
            self.pos_embed[0, self.num_extra_tokens :] = table

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) bool, True = hidden, the same number in every sample; None
                encodes the full image, at any size.

        Returns:
            With a mask one tensor (B, 1 + visible, C): class token, then visible patches in
            raster order, after the last norm if there is one. Without: the features of
            mmpretrain's class, one for each of ``out_indices``.
        """
        if mask is None:
            return super().forward(x)
        tokens = self.embed_visible(x, mask)
        for layer in self.layers:
            tokens = forward_block(layer, tokens)
        return (self.ln1(tokens) if self.final_norm else tokens,)

    def embed_visible(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Tokens of the visible patches, with positions.

        Args:
            images: (B, C, H, W) of ``img_size``.
            mask: (B, rows, cols) bool, True = hidden, the same number in every sample.

        Returns:
            (B, 1 + visible, C): class token, then patches in raster order.

        Raises:
            ConfigError: Sizes do not agree, or the samples hide different numbers.
        """
        self._check_sizes(images, mask)
        visible, _ = split_by_mask(mask)
        projection = self.patch_embed.projection
        patches = take_patches(images, visible, projection.kernel_size)
        tokens = F.linear(patches, projection.weight.flatten(1), projection.bias)
        tokens = tokens + take_tokens(self.pos_embed[:, 1:], visible)
        class_token = (self.cls_token + self.pos_embed[:, :1]).to(tokens.dtype)
        tokens = torch.cat((class_token.expand(len(tokens), -1, -1), tokens), dim=1)
        return self.pre_norm(self.drop_after_pos(tokens))

    def _check_sizes(self, images: torch.Tensor, mask: torch.Tensor) -> None:
        expected = tuple(self.patch_resolution)
        if tuple(images.shape[-2:]) != tuple(self.img_size) or tuple(mask.shape[1:]) != expected:
            raise ConfigError(
                f'{type(self).__name__}: images of {tuple(images.shape[-2:])} pixels with masks '
                f'of {tuple(mask.shape[1:])} patches, but the network was made for '
                f'{tuple(self.img_size)} pixels and {expected} patches. Make img_size, the crop '
                'and input_size of the mask agree.'
            )


def take_patches(
    images: torch.Tensor, index: torch.Tensor, patch_size: tuple[int, int]
) -> torch.Tensor:
    """Cut patches out of images, copying no other pixel.

    Args:
        images: (B, C, H, W).
        index: (B, n) int64 into the patches in raster order.
        patch_size: (height, width) of a patch in pixels.

    Returns:
        (B, n, C * height * width), a vector laid out as a convolution's weight.
    """
    b, c, h, w = images.shape
    ph, pw = patch_size
    patches = images.reshape(b, c, h // ph, ph, w // pw, pw).permute(0, 2, 4, 1, 3, 5)
    samples = torch.arange(b, device=index.device)[:, None]
    rows = index.div(w // pw, rounding_mode='floor')
    return patches[samples, rows, index % (w // pw)].flatten(2)
