"""UM-MAE: masked autoencoding of pyramid encoders with uniform masking."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.position_embedding import square_side
from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.data.masked_samples import MaskedSamples, gather_masks
from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask, take_tokens
from mim_bench.models.backbones.ummae_pvt import UMMAEPvt
from mim_bench.models.backbones.ummae_swin import OffsetLayout, UMMAESwin, offset_table
from mim_bench.models.layers.base import OwnWeights
from mim_bench.models.layers.transformer import NORM_EPS, TransformerBlock, init_mae_weights
from mim_bench.models.layers.windows import Windows, fit_windows
from mim_bench.registry import MODELS
from mim_bench.targets.pixels import hidden_pixels

POSITION_ORDERS = ('cell', 'raster')


@MODELS.register_module()
class UMMAE(BaseSelfSupervisor):
    """UM-MAE: predicts patches that were not sampled from one patch of every 2x2 cell.

    Backbone :class:`UMMAEPretrainSwin`, :class:`UMMAEPretrainPvt` or ``UMMAEPretrainViT``, neck
    :class:`UMMAEPyramidDecoder` or :class:`UMMAEViTDecoder`, head :class:`UMMAEHead`. Every
    data sample carries ``mask`` and, with secondary masking, ``hidden`` of the transform
    ``UniformMask``.

    Source: UM-MAE, arXiv:2205.10063.
    """

    def extract_feat(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of the full, unmasked images: (B, 3, H, W) -> one map (B, C, h, w)."""
        return self.backbone(inputs)

    def loss(
        self, inputs: torch.Tensor, data_samples: MaskedSamples | list[DataSample], **_: object
    ) -> dict[str, torch.Tensor]:
        """The reconstruction loss of a batch, ``{'loss': scalar}``."""
        samples = gather_masks(data_samples)
        pred = self.predict_hidden(inputs, samples.mask, samples.get('hidden'))
        return {'loss': self.head.loss(pred, inputs, samples.mask)}

    def predict_hidden(self, inputs: torch.Tensor, mask: Mask, hidden: Mask | None) -> torch.Tensor:
        """Predict patches that were not sampled: (B, hidden patches, patch ** 2 * 3)."""
        (latent,) = self.backbone(inputs, mask, hidden)
        return self.neck(latent, mask)


class SecondaryMasking:
    """Mixin before an encoder that puts a token in place of sampled patches that are hidden.

    Args:
        arch: Sizes of the encoder.
        secondary_masking: Whether some sampled patches are hidden too: their content is a
            mask token. Weights pre-trained without it have no such token.
        **kwargs: Arguments of the encoder.
    """

    def __init__(
        self, arch: str | dict, *, secondary_masking: bool = True, **kwargs: object
    ) -> None:
        super().__init__(arch, **kwargs)
        token = torch.zeros(1, 1, self.patch_embed.projection.out_channels)
        self.vis_mask_token = nn.Parameter(token) if secondary_masking else None

    def init_own_weights(self) -> None:
        """Initialise as the encoder; the secondary mask token is normal with deviation 0.02."""
        super().init_own_weights()
        if self.vis_mask_token is not None:
            nn.init.normal_(self.vis_mask_token, std=0.02)

    def check_hidden(self, hidden: Mask | torch.Tensor | None) -> None:
        """Refuse masks that disagree with the network about secondary masking.

        Without a mask token hidden patches have no content; an unused token gets no gradient.

        Raises:
            ConfigError: Secondary masking is on in the network or in the masks alone.
        """
        if (hidden is None) != (self.vis_mask_token is None):
            name = type(self).__name__
            has, other = ('a', 'without') if hidden is None else ('no', 'with')
            raise ConfigError(
                f'{name}: the network has {has} secondary mask token, but the masks of the batch '
                f'come {other} secondary masking. Set secondary_masking of {name} and '
                'secondary_ratio of mim_bench.UniformMask alike.'
            )


class CompactPretraining(SecondaryMasking):
    """Mixin before a :class:`UMMAEPyramid` that encodes the sampled quarter as one dense map.

    With masks, the sampled patches are gathered from the image into a compact image of half
    the side before the patch embedding, and every token keeps the place it had in the full
    image. Without masks the encoder is unchanged.

    Args:
        arch: Sizes of the encoder.
        mask_patch_size: Side of a mask patch in pixels.
        **kwargs: Arguments of :class:`SecondaryMasking` and the encoder; ``final_norm`` is on by
            default.

    Raises:
        ConfigError: ``mask_patch_size`` is not a multiple of ``patch_size``.

    Source: UM-MAE, arXiv:2205.10063, sections on uniform sampling and secondary masking.
    Differs: gathers the kept patches, while the official code embeds all patches and selects by a
    dilated depth-wise convolution; the result is the same.
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

    def forward(
        self,
        x: torch.Tensor,
        mask: Mask | torch.Tensor | None = None,
        hidden: Mask | torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Encode images.

        Args:
            x: Images (B, C, H, W).
            mask: Mask over the mask patches, hidden = not sampled, one visible in every 2x2 cell;
                None encodes the full image.
            hidden: Patches that are not seen as image content, a superset of ``mask``;
                None without secondary masking.

        Returns:
            A map for each of ``out_indices``; with masks of the compact image, so the last is
            (B, C, rows / 4, cols / 4) for four stages.

        Raises:
            ConfigError: The masks keep another number of patches than one a cell, or secondary
                masking is on in the network or in the masks alone.
        """
        if mask is None:
            return super().forward(x)
        self.check_hidden(hidden)
        kept = kept_patches(Mask.of(mask))
        places = token_places(kept, self.tokens_per_patch)
        num_cols = x.shape[-1] // self.patch_size
        index = (places[..., 0] * num_cols + places[..., 1]).flatten(1)
        is_hidden = None if hidden is None else self._at_tokens(Mask.of(hidden), index)
        x = self.patch_embed(x, index, is_hidden=is_hidden, mask_token=self.vis_mask_token)
        return self.run_stages(x.unflatten(1, places.shape[1:3]), places)

    def _at_tokens(self, hidden: Mask, index: torch.Tensor) -> torch.Tensor:
        """Which tokens, (B, n) int64 in raster order, a mask of patches hides: (B, n) bool."""
        t = self.tokens_per_patch
        num_cols = hidden.grid[1] * t
        patches = index // num_cols // t * hidden.grid[1] + index % num_cols // t
        return hidden.is_hidden.flatten(1).gather(1, patches)


@MODELS.register_module()
class UMMAEPretrainSwin(CompactPretraining, UMMAESwin):
    """:class:`UMMAESwin` that encodes the visible quarter of an image as one dense map.

    Args:
        arch: See :class:`UMMAESwin`.
        **kwargs: Arguments of :class:`CompactPretraining` and :class:`UMMAESwin`.

    Source: UM-MAE, arXiv:2205.10063, official ``mae_swin``.
    """

    def __init__(self, arch: str | dict = 'tiny', **kwargs: object) -> None:
        super().__init__(arch, **kwargs)

    def stage_context(
        self,
        stage: int,
        grid: tuple[int, int],
        places: torch.Tensor | None,
        device: torch.device,
    ) -> tuple[OffsetLayout, OffsetLayout]:
        """The windows without and with shift; on a compact map half as large."""
        if places is None:
            return super().stage_context(stage, grid, places, device)
        # Offsets are multiples of the step: within a patch neighbours are 2**stage first-stage
        # tokens apart, and where a token covers several patches they are whole patches apart.
        step = min(2**stage, self.tokens_per_patch)
        layouts = []
        for shifted in (False, True):
            windows = fit_windows(grid, max(self.window_size // 2, 1), shifted)
            reach = self._reach(windows, stage) // step
            index = irregular_index(windows.cut(places // step), reach)
            offsets = offset_table((reach + 1, reach + 1), device, step / 2**stage)
            separation = windows.separation(device, of_padding=True)
            layouts.append(OffsetLayout(windows, index, separation, offsets))
        return tuple(layouts)

    def _reach(self, windows: Windows, stage: int) -> int:
        """The largest offset between two tokens of a window, in first-stage tokens.

        A compact patch stands for one of the two patches of its cell along a side, so a
        window that touches n cells spans at most 2n patches.
        """
        t, cells = self.tokens_per_patch, []
        for size, shift in zip(windows.size, windows.shift, strict=True):
            length, start = size * 2**stage, shift * 2**stage
            is_aligned = length % t == 0 and start % t == 0
            cells.append(-(-length // t) + (not is_aligned))
        return 2 * max(cells) * t - 1


@MODELS.register_module()
class UMMAEPretrainPvt(CompactPretraining, UMMAEPvt):
    """:class:`UMMAEPvt` that encodes the visible quarter of an image as one dense map.

    Args:
        arch: See :class:`UMMAEPvt`.
        compact_sr_ratios: Pooling ratio of each stage on the compact map; None halves
            ``sr_ratios`` (8, 4, 2, 1 to 4, 2, 1, 1), which leaves the number of keys as it is.
        **kwargs: See :class:`CompactPretraining` and :class:`UMMAEPvt`; the table of positions
            is fixed by default.

    Source: UM-MAE, arXiv:2205.10063, official ``mae_pvt``.
    """

    def __init__(
        self,
        arch: str | dict = 'small',
        *,
        compact_sr_ratios: Sequence[int] | None = None,
        **kwargs: object,
    ) -> None:
        kwargs.setdefault('learnable_positions', False)
        super().__init__(arch, **kwargs)
        halves = (max(ratio // 2, 1) for ratio in self.sr_ratios)
        self.compact_sr_ratios = tuple(compact_sr_ratios or halves)

    def stage_context(
        self,
        stage: int,
        grid: tuple[int, int],
        places: torch.Tensor | None,
        device: torch.device,
    ) -> int:
        """The pooling ratio, on the full or on the compact map."""
        return (self.sr_ratios if places is None else self.compact_sr_ratios)[stage]


def kept_patches(mask: Mask) -> torch.Tensor:
    """The visible patch of every cell, (B, rows / 2, cols / 2) int64 in raster order.

    Raises:
        ConfigError: A side is odd, or the number of visible patches is not that of the cells.
            (That each cell has one is the contract of ``UniformMask``; it is not checked.)
    """
    rows, cols = mask.grid
    if rows % 2 or cols % 2 or 4 * mask.num_visible != rows * cols:
        raise ConfigError(
            f'UM-MAE needs masks with even sides that keep one patch of every 2x2 cell, not '
            f'{mask.num_visible} of {rows} x {cols}. Draw them with mim_bench.UniformMask.'
        )
    row, col = mask.visible // cols, mask.visible % cols
    cells = row // 2 * (cols // 2) + col // 2
    return (
        torch.zeros_like(cells).scatter(1, cells, mask.visible).unflatten(1, (rows // 2, cols // 2))
    )


def token_places(kept: torch.Tensor, tokens_per_patch: int) -> torch.Tensor:
    """Row and column of each compact token in the full token grid.

    Args:
        kept: Result of :func:`kept_patches`, (B, rows, cols).
        tokens_per_patch: Tokens along a side of a patch, t.

    Returns:
        (B, t * rows, t * cols, 2) int64.
    """
    t, num_cols = tokens_per_patch, 2 * kept.shape[2]
    places = torch.stack((kept // num_cols, kept % num_cols), dim=-1) * t
    places = places.repeat_interleave(t, 1).repeat_interleave(t, 2)
    rows, cols = (torch.arange(side, device=kept.device) % t for side in places.shape[1:3])
    return places + torch.cartesian_prod(rows, cols).unflatten(0, places.shape[1:3])


def irregular_index(places: torch.Tensor, reach: int) -> torch.Tensor:
    """Index into :func:`offset_table` of the offset between two tokens at any positions.

    Args:
        places: (B, windows, tokens, 2) int64.
        reach: Largest offset; larger ones, of tokens that are separated, are clamped.

    Returns:
        (B, windows, tokens, tokens) int64 from (query, key), for the offset key - query.
    """
    delta = (places[:, :, None] - places[:, :, :, None]).clamp(-reach, reach)
    return (delta[..., 0] + reach) * (2 * reach + 1) + delta[..., 1] + reach


class UMMAEDecoder(OwnWeights, BaseModule):
    """Base of both decoders: transformer blocks over seen patches and mask tokens.

    Args:
        in_dims: Width of the encoder.
        num_patches: Mask patches of an image, rows * cols of a square grid.
        patch_size: Side of a mask patch in pixels.
        embed_dims: Width of the decoder.
        depth: Transformer blocks.
        num_heads: Heads of a block.
        in_channels: Channels of the image.
        vectors_per_token: Number of patches in one token of the encoder.
        num_extra_tokens: Tokens before the patches; their positions are zero.
        init_cfg: Initialisation of mmengine.

    Source: MAE's decoder as UM-MAE uses it. Differs: the last block leaves out the visible
    patches, which get no loss; the numbers of the others are the same.
    """

    def __init__(
        self,
        in_dims: int,
        num_patches: int,
        *,
        patch_size: int = 16,
        embed_dims: int = 512,
        depth: int = 2,
        num_heads: int = 16,
        in_channels: int = 3,
        vectors_per_token: int = 1,
        num_extra_tokens: int = 0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        side = square_side(num_patches)
        if side is None:
            raise ConfigError(
                f'{type(self).__name__}: num_patches is {num_patches}. Masks are square: set rows '
                '* cols of one.'
            )
        self.grid = (side, side)
        table = sincos_position_embedding(self.grid, embed_dims)
        self.num_extra_tokens = num_extra_tokens
        self.decoder_embed = nn.Linear(in_dims, vectors_per_token * embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.decoder_pos_embed = nn.Parameter(
            F.pad(table, (0, 0, num_extra_tokens, 0))[None], requires_grad=False
        )
        self.decoder_blocks = nn.ModuleList(
            TransformerBlock(embed_dims, num_heads) for _ in range(depth)
        )
        self.ln1 = nn.LayerNorm(embed_dims, eps=NORM_EPS)
        self.decoder_pred = nn.Linear(embed_dims, patch_size**2 * in_channels)

    def init_own_weights(self) -> None:
        """Xavier for linear layers; the mask token is normal with deviation 0.02."""
        self.apply(init_mae_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def decode(self, seen: torch.Tensor, places: torch.Tensor, mask: Mask) -> torch.Tensor:
        """Predict the patches that were not sampled.

        Args:
            seen: (B, S, embed_dims), the encoder's tokens in any order: attention is global,
                so only positions distinguish tokens.
            places: (B, S) int64, indices of ``seen`` into the table of positions.
            mask: Mask, hidden = not sampled.

        Returns:
            (B, hidden, patch_size ** 2 * channels), in raster order.

        Raises:
            ConfigError: The grid is another than the decoder's.
        """
        (rows, cols), (side, _) = mask.grid, self.grid
        if (rows, cols) != self.grid:
            raise ConfigError(
                f'{type(self).__name__}: masks of {rows}x{cols} patches, but num_patches is '
                f'{side * side}, a grid of {side}x{side}. Make input_size of the mask, img size '
                'and num_patches agree.'
            )
        seen = seen + take_tokens(self.decoder_pos_embed, places)
        # Mask tokens differ by their positions only.
        mask_tokens = self.mask_token + self.decoder_pos_embed
        hidden = take_tokens(mask_tokens, mask.hidden + self.num_extra_tokens)
        x = torch.cat((seen, hidden.to(seen.dtype)), dim=1)
        *blocks, last = self.decoder_blocks
        for block in blocks:
            x = block(x)
        return self.decoder_pred(self.ln1(last(x, None, slice(seen.shape[1], None))))


@MODELS.register_module()
class UMMAEPyramidDecoder(UMMAEDecoder):
    """Predicts the patches that were not sampled from a pyramid encoder's last map.

    The last map has a token for every 2x2 visible patches; a pixel shuffle gives each
    visible patch its own vector, in the order of the cells.

    Args:
        in_dims: Width of the encoder's last stage.
        num_patches: Mask patches of an image, rows * cols (256 at 256 px).
        upscale: Visible patches along a side of one encoder token.
        decoder_pos_order: 'cell' gives every visible patch the position embedding of its
            own position. 'raster' gives them in raster order of the whole grid, as the
            official code does, which is another patch's for about 75 % of them; needed to
            reconstruct with official weights.
        **kwargs: Arguments of :class:`UMMAEDecoder`.

    Raises:
        ConfigError: ``decoder_pos_order`` is unknown.

    Source: UM-MAE, arXiv:2205.10063, official pyramid decoder.
    """

    def __init__(
        self,
        in_dims: int,
        num_patches: int,
        *,
        upscale: int = 2,
        decoder_pos_order: str = 'cell',
        **kwargs: object,
    ) -> None:
        super().__init__(in_dims, num_patches, vectors_per_token=upscale**2, **kwargs)
        if decoder_pos_order not in POSITION_ORDERS:
            raise ConfigError(
                f'UMMAEPyramidDecoder: decoder_pos_order {decoder_pos_order!r} must be one of '
                f'{POSITION_ORDERS}.'
            )
        self.decoder_pos_order = decoder_pos_order
        self.upscale = upscale

    def forward(self, latent: torch.Tensor, mask: Mask | torch.Tensor) -> torch.Tensor:
        """Predict the patches.

        Args:
            latent: (B, C, rows / 4, cols / 4), the encoder's last map.
            mask: Mask, hidden = not sampled, one visible patch in every 2x2 cell.

        Returns:
            (B, hidden patches, patch_size ** 2 * channels), the patches that were not
            sampled, in raster order.
        """
        mask = Mask.of(mask)
        x = self.decoder_embed(latent.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        seen = F.pixel_shuffle(x, self.upscale).flatten(2).transpose(1, 2)
        in_cells = self.decoder_pos_order == 'cell'
        places = kept_patches(mask).flatten(1) if in_cells else mask.visible
        return self.decode(seen, places, mask)


@MODELS.register_module()
class UMMAEViTDecoder(UMMAEDecoder):
    """Predicts the patches that were not sampled from the tokens of a plain ViT.

    Args:
        in_dims: Width of the encoder.
        num_patches: Patches of an image, rows * cols (196 at 224 px).
        **kwargs: Arguments of :class:`UMMAEDecoder`.

    Source: UM-MAE, arXiv:2205.10063, official ViT decoder, which is MAE's.
    """

    def __init__(self, in_dims: int, num_patches: int, **kwargs: object) -> None:
        super().__init__(in_dims, num_patches, num_extra_tokens=1, **kwargs)

    def forward(self, latent: torch.Tensor, mask: Mask | torch.Tensor) -> torch.Tensor:
        """Predict the patches.

        Args:
            latent: (B, 1 + sampled, C): class token, then the sampled patches in raster order.
            mask: Mask, hidden = not sampled.

        Returns:
            (B, hidden patches, patch_size ** 2 * channels), in raster order.
        """
        mask = Mask.of(mask)
        # The class token is first in the table.
        return self.decode(self.decoder_embed(latent), F.pad(mask.visible + 1, (1, 0)), mask)


@MODELS.register_module()
class UMMAEHead(BaseModule):
    """UM-MAE's loss: mean squared error on the patches that were not sampled.

    Patches that only the secondary mask hides get no loss.

    Args:
        patch_size: Side of a mask patch in pixels.
        norm_pix: Normalise every target patch to zero mean and unit variance.

    Source: UM-MAE, arXiv:2205.10063; MAE's loss on the patches removed by uniform sampling.
    """

    def __init__(self, patch_size: int = 16, norm_pix: bool = True) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.norm_pix = norm_pix

    def loss(
        self, pred: torch.Tensor, images: torch.Tensor, mask: Mask | torch.Tensor
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            pred: (B, hidden patches, patch_size ** 2 * C), raster order.
            images: (B, C, H, W), normalised as the encoder saw them.
            mask: Mask, hidden = not sampled.

        Returns:
            A scalar.
        """
        hidden = Mask.of(mask).hidden
        target = hidden_pixels(images, hidden, self.patch_size, norm_pix=self.norm_pix)
        return F.mse_loss(pred.float(), target)
