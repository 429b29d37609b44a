"""CAPI's vision transformer: rotary positions for patches and registers, no biases."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from timm.layers import DropPath, calculate_drop_path_rates
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mim_bench.architectures import VIT
from mim_bench.architectures import VIT_KEYS as ARCHITECTURE_KEYS
from mim_bench.errors import ConfigError
from mim_bench.models.layers.base import Backbone, refuse_others_loaded, resolved_indices
from mim_bench.models.layers.patches import filled_up
from mim_bench.models.layers.pyramid import read_architecture
from mim_bench.registry import MODELS

ARCHITECTURES = {'large': VIT['large']}
EPS = 1e-5


class RotaryAttention(nn.Module):
    """Self-attention whose queries and keys are rotated by the positions of their tokens.

    Args:
        dims: Width of a token.
        num_heads: Heads.
    """

    def __init__(self, dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q_proj = nn.Linear(dims, dims, bias=False)
        self.k_proj = nn.Linear(dims, dims, bias=False)
        self.v_proj = nn.Linear(dims, dims, bias=False)
        self.proj = nn.Linear(dims, dims, bias=False)
        # Angles for a position (row, column) in the unit square.
        self.freqs = nn.Parameter(torch.zeros(2, dims // num_heads), requires_grad=False)

    def forward(self, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Tokens (B, L, C) at places (L, 2) -> the same shape."""
        q, k, v = (
            layer(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        angles = places @ self.freqs.float()  # (L, C / heads)
        x = F.scaled_dot_product_attention(_turned(q, angles), _turned(k, angles), v)
        return self.proj(x.transpose(1, 2).flatten(2))


def _turned(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Rotate pairs of element k of the first and of the second half; x is (B, heads, L, C)."""
    first, second = x.chunk(2, dim=-1)
    turned = x * angles.cos() + torch.cat((-second, first), dim=-1) * angles.sin()
    return turned.to(x.dtype)


class CapiBlock(nn.Module):
    """Pre-norm block with RMSNorm: x + attention, then x + MLP.

    Args:
        dims: Width of a token.
        num_heads: Heads.
        hidden_dims: Width of the MLP's hidden layer.
        drop_path: Rate of stochastic depth.
    """

    def __init__(self, dims: int, num_heads: int, hidden_dims: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.RMSNorm(dims, eps=EPS)
        self.attn = RotaryAttention(dims, num_heads)
        self.norm2 = nn.RMSNorm(dims, eps=EPS)
        self.fc1 = nn.Linear(dims, hidden_dims, bias=False)
        self.fc2 = nn.Linear(hidden_dims, dims, bias=False)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Tokens (B, L, C) at places (L, 2) -> the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x), places))
        return x + self.drop_path(self.fc2(F.gelu(self.fc1(self.norm2(x)))))


@MODELS.register_module()
class CapiViT(Backbone):
    """The encoder of CAPI, whose positions are computed for any size of image.

    Args:
        arch: 'large', or a dict with ``embed_dims``, ``num_layers``, ``num_heads``,
            ``feedforward_channels``.
        patch_size: Side of a patch in pixels.
        num_registers: Tokens before the patches, positioned on the edge of the image; a multiple of
            four.
        img_size: Unused: nothing depends on the size.
        out_indices: Blocks to return the output of; negative ones count from the last.
        out_type: 'featmap', or 'raw' (tokens, registers first).
        final_norm: An RMSNorm without weights after the last block.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        frozen_stages: Freeze embedding and registers (>= 0) and the first n blocks.
        with_cp: Recompute the blocks in the backward pass.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: ``out_indices`` or ``out_type`` is unknown.

    Source: CAPI, arXiv:2502.08769. Differs: no masking and no decoder.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset(
        {'arch', 'patch_size', 'num_registers'}
    )
    SPARE = 'mask_token'

    def __init__(
        self,
        arch: str | dict = 'large',
        *,
        patch_size: int = 14,
        num_registers: int = 16,
        img_size: int | Sequence[int] | None = None,
        out_indices: int | Sequence[int] = -1,
        out_type: str = 'featmap',
        final_norm: bool = True,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        sizes = read_architecture(arch, ARCHITECTURES, ARCHITECTURE_KEYS, 'CapiViT')
        dims, depth, num_heads, hidden_dims = (sizes[key] for key in ARCHITECTURE_KEYS)
        if out_type not in ('featmap', 'raw'):
            raise ConfigError(f'CapiViT: unknown out_type {out_type!r}. Known: featmap, raw.')
        self.out_indices = resolved_indices('CapiViT', 'out_indices', out_indices, depth)
        self.patch_size, self.out_type = patch_size, out_type
        self.final_norm, self.with_cp, self.frozen_stages = final_norm, with_cp, frozen_stages
        self.num_outputs, self.num_extra_tokens = depth, num_registers
        self.out_channels = (dims,) * len(self.out_indices)
        self.strides = (patch_size,) * len(self.out_indices)
        self.patch_embed = nn.Conv2d(3, dims, patch_size, stride=patch_size)
        self.registers = nn.Parameter(torch.zeros(1, num_registers, dims))
        rates = calculate_drop_path_rates(drop_path_rate, depth)
        self.blocks = nn.ModuleList(CapiBlock(dims, num_heads, hidden_dims, r) for r in rates)
        for block in self.blocks[max(self.out_indices) + 1 :]:
            block.requires_grad_(False)
        self.register_load_state_dict_pre_hook(refuse_others_loaded)
        self.freeze()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute a map, or its tokens, for each of ``out_indices``; images are (B, 3, H, W)."""
        x = self.patch_embed(filled_up(x, (self.patch_size,) * 2))
        grid = tuple(x.shape[-2:])
        tokens = x.flatten(2).transpose(1, 2)
        tokens = torch.cat((self.registers.expand(len(x), -1, -1), tokens), dim=1)
        places = self._places(grid, x.device)
        outs = []
        for i, block in enumerate(self.blocks[: max(self.out_indices) + 1]):
            if self.with_cp and tokens.requires_grad:
                tokens = checkpoint(block, tokens, places, use_reentrant=False)
            else:
                tokens = block(tokens, places)
            if i in self.out_indices:
                is_last = self.final_norm and i == self.num_outputs - 1
                out = F.rms_norm(tokens, tokens.shape[-1:], eps=EPS) if is_last else tokens
                outs.append(self._formatted(out, grid))
        return tuple(outs)

    def _places(self, grid: tuple[int, int], device: torch.device) -> torch.Tensor:
        """Positions (row, column) in the unit square: registers on its edge, then patches."""
        rows, cols = (torch.linspace(0, 1, side, device=device) for side in grid)
        patches = torch.cartesian_prod(rows, cols)
        quarter = self.num_extra_tokens // 4
        t = torch.arange(quarter, device=device) / max(quarter, 1)
        zero, one = torch.zeros_like(t), torch.ones_like(t)
        # Clockwise from the first corner.
        sides = ((t, zero), (one, t), (1 - t, one), (zero, 1 - t))
        edge = torch.cat([torch.stack(side, dim=-1) for side in sides])
        return torch.cat((edge, patches))

    def _formatted(self, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        if self.out_type == 'raw':
            return tokens
        return tokens[:, self.num_extra_tokens :].unflatten(1, grid).permute(0, 3, 1, 2)

    def init_own_weights(self) -> None:
        """Initialise weights truncated normal with deviation 0.02, and the rotary frequencies."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.trunc_normal_(self.registers, std=0.02)
        for block in self.blocks:
            half = block.attn.freqs.shape[1] // 2
            speeds = 100.0 ** torch.linspace(0, 1, max(half // 2, 1))
            one = torch.cat((speeds, torch.zeros(half - len(speeds))))
            table = torch.stack((one, one.flip(0)))
            block.attn.freqs.data.copy_(table.repeat(1, 2)[:, : block.attn.freqs.shape[1]])

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Layer and number of layers: 0 for the embedding, i + 1 for block i, last for the rest."""
        num_layers = self.num_outputs + 2
        parts = param_name.removeprefix(prefix).split('.')
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        return (int(parts[1]) + 1 if parts[0] == 'blocks' else 0), num_layers

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """Embedding, registers and the first blocks."""
        yield from (self.patch_embed, self.registers)
        yield from self.blocks[: self.frozen_stages]
