"""What UM-MAE's Swin and PVT share: stages, features of full images, layers for layer decay."""

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.frozen_stages import FreezableBackbone
from mim_bench.models.backbones.ummae_pyramid_layers import (
    PatchEmbed,
    PyramidStage,
    init_ummae_weights,
)
from mim_bench.models.linear import use_fast_linear


class UMMAEPyramid(FreezableBackbone):
    """A pyramid of stages over maps (B, H, W, C).

    Args:
        patch_embed: The patch embedding.
        stages: Of the encoder.
        patch_size: Side of a patch in pixels.
        stage_dims: Width of each stage.
        out_indices: Stages to return.
        final_norm: LayerNorm on the last stage. Pre-training has it; fine-tuning and
            dense tasks start without.
        frozen_stages: Freeze the patch embedding (>= 0) and the first n stages; the
            number of stages freezes everything.
        init_cfg: Initialisation of mmengine.

    Source: UM-MAE, arXiv:2205.10063.
    """

    def __init__(
        self,
        patch_embed: PatchEmbed,
        stages: Sequence[PyramidStage],
        *,
        patch_size: int,
        stage_dims: Sequence[int],
        out_indices: Sequence[int],
        final_norm: bool,
        frozen_stages: int,
        init_cfg: dict | list | None,
    ) -> None:
        super().__init__(init_cfg)
        self.patch_size, self.stage_dims = patch_size, list(stage_dims)
        self.out_indices, self.frozen_stages = tuple(out_indices), frozen_stages
        self.out_channels = tuple(stage_dims[i] for i in self.out_indices)
        self.strides = tuple(patch_size * 2**i for i in self.out_indices)
        self.patch_embed = patch_embed
        self.stages = nn.ModuleList(stages)
        self.depths = tuple(len(stage.blocks) for stage in stages)
        self.norm = nn.LayerNorm(self.stage_dims[-1], eps=1e-6) if final_norm else None
        use_fast_linear(self)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of full images.

        Args:
            x: Images (B, C, H, W); H and W are multiples of the patch size.

        Returns:
            A map (B, C_i, H_i, W_i) for each stage of ``out_indices``.
        """
        outs, last = [], len(self.stages) - 1
        first = self.add_positions(self.patch_embed(x))
        for i, out in enumerate(self.run_stages(first)):
            if i in self.out_indices:
                is_normed = self.norm is not None and i == last
                outs.append((self.norm(out) if is_normed else out).permute(0, 3, 1, 2).contiguous())
        return tuple(outs)

    def run_stages(
        self, x: torch.Tensor, places: torch.Tensor | None = None
    ) -> Iterator[torch.Tensor]:
        """The map (B, H, W, C) after each stage.

        Args:
            x: The map of the first stage, (B, H, W, C).
            places: (B, H, W, 2) int64, row and column of its tokens in the full image, on a
                compact map; None on the map of a full image.
        """
        for i, stage in enumerate(self.stages):
            x = stage(x)
            context = self.stage_context(i, x, places)
            for block in stage.blocks:
                x = block(x, context)
            yield x

    def add_positions(self, x: torch.Tensor, places: torch.Tensor | None = None) -> torch.Tensor:
        """Add absolute positions to the map of the first stage, if the encoder has any."""
        return x

    def stage_context(self, stage: int, x: torch.Tensor, places: torch.Tensor | None) -> object:
        """What the blocks of a stage share.

        Args:
            stage: Its index.
            x: Its map, (B, H, W, C).
            places: Of :meth:`run_stages`.
        """
        raise NotImplementedError

    def init_weights(self) -> None:
        """Xavier for linear layers and the patch embedding, fan-out normal for convolutions."""
        super().init_weights()
        if isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained':
            return
        self.apply(init_ummae_weights)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The layer of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: Name in the model.
            prefix: Of the backbone in the model, for example ``'backbone.'``.

        Returns:
            (layer, layers): 0 for patch and position embedding, g + 1 for block g of all and
            the downsampling that opens it, blocks + 1 for the rest; layers = blocks + 2.

        Source: UM-MAE's fine-tuning code. Differs from mmpretrain's Swin, which counts a
        downsampling to the stage before it.
        """
        num_layers = sum(self.depths) + 2
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        parts = param_name[len(prefix) :].split('.')
        if parts[0] in ('patch_embed', 'pos_embed'):
            return 0, num_layers
        if parts[0] != 'stages':
            return num_layers - 1, num_layers
        block = int(parts[3]) if parts[2] == 'blocks' else 0
        return sum(self.depths[: int(parts[1])]) + block + 1, num_layers

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """The patch embedding and the first stages; with all stages, the norm too."""
        yield self.patch_embed
        yield from self.stages[: self.frozen_stages]
        if self.frozen_stages >= len(self.stages):
            yield self.norm


def read_architecture(
    arch: str | dict, known: dict[str, dict], keys: Sequence[str], owner: str
) -> dict:
    """Sizes of an encoder, by name or as they are.

    Raises:
        ConfigError: The name is unknown, or a key is missing.
    """
    if isinstance(arch, dict):
        missing = set(keys) - set(arch)
        if missing:
            raise ConfigError(f'{owner}: arch lacks {sorted(missing)}; it has {sorted(arch)}.')
        return arch
    if arch not in known:
        raise ConfigError(f'{owner}: unknown arch {arch!r}. Known: {sorted(known)}.')
    return known[arch]
