"""The pre-norm transformer block of MAE and BEiT, with mmpretrain's parameter names."""

import weakref
from collections.abc import Callable

import torch
from timm.layers import DropPath
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mim_bench.models.layers.relative_bias import AxisTables, BiasTable

NORM_EPS = 1e-6


class Attention(nn.Module):
    """Multi-head self-attention with an optional bias on its logits.

    The gradient of a bias that images share costs memory on every device: torch's kernels
    allocate it for each image, (B, heads, L, L), before they sum it up. With a table of the
    layer's own, many tokens attend in parts of the queries: (B, heads, queries, L) at a time.

    Args:
        dims: C, width of a token.
        num_heads: Heads.
        qkv_bias: 'full', 'qv' (BEiT's: none for the keys) or 'none'.
        bias: Layout of the layer's own tables of relative positions; None: no tables.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        *,
        qkv_bias: str = 'full',
        bias: BiasTable | AxisTables | None = None,
    ) -> None:
        super().__init__()
        self.num_heads, self.bias = num_heads, bias
        self.qkv = nn.Linear(dims, 3 * dims, bias=qkv_bias == 'full')
        has_two = qkv_bias == 'qv'
        self.q_bias = nn.Parameter(torch.zeros(dims)) if has_two else None
        self.v_bias = nn.Parameter(torch.zeros(dims)) if has_two else None
        self.proj = nn.Linear(dims, dims)
        self.relative_position_bias_table = self.rel_pos_h = self.rel_pos_w = None
        if isinstance(bias, AxisTables):  # the names are detectron2's
            self.rel_pos_h, self.rel_pos_w = bias.parameters(dims // num_heads)
        elif bias is not None:
            self.relative_position_bias_table = bias.parameter(num_heads)

    def forward(
        self,
        x: torch.Tensor,
        bias: torch.Tensor | None = None,
        wanted: slice | None = None,
        grid: tuple[int, int] | None = None,
    ) -> torch.Tensor:
        """Compute the attention.

        Args:
            x: (B, L, C).
            bias: (1, heads, L, L), added to the logits of every image. It is not expanded over the
                batch, which would copy it B times if its rows are not aligned. It replaces the
                layer's own tables.
            wanted: Slice of the tokens to return; all if None.
            grid: (rows, cols) of the tokens, for the layer's own tables.

        Returns:
            (B, wanted, C).
        """
        qkv = self.qkv(x)
        if self.q_bias is not None:
            # The keys have no bias: it would shift all logits of a query alike.
            biases = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
            qkv = qkv + biases.to(qkv.dtype)
        q, k, v = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2) for part in qkv.chunk(3, dim=-1)
        )
        if isinstance(self.bias, AxisTables):
            x = self.bias.attend(q, k, v, (self.rel_pos_h, self.rel_pos_w), grid, wanted)
        elif bias is None and self.bias is not None and wanted is None:
            x = self._attend_in_parts(q, k, v, grid)
        else:
            if bias is None and self.bias is not None:
                (bias,) = self.bias.expand(self.relative_position_bias_table, (grid,))
            if wanted is not None:
                q = q[:, :, wanted]
                bias = None if bias is None else bias[:, :, wanted]
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(x.transpose(1, 2).flatten(2))

    def _attend_in_parts(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, grid: tuple[int, int]
    ) -> torch.Tensor:
        outs, first = [], 0
        for bias in self.bias.parts(self.relative_position_bias_table, grid):
            last = first + bias.shape[2]
            outs.append(F.scaled_dot_product_attention(q[:, :, first:last], k, v, attn_mask=bias))
            first = last
        return outs[0] if len(outs) == 1 else torch.cat(outs, dim=2)


class FeedForward(nn.Module):
    """Two linear layers with GELU between them, named as in mmcv's ``FFN``.

    GELU is recomputed in the backward pass, so one hidden map is kept instead of two.

    Args:
        dims: C, width of a token.
        hidden_dims: Width of the hidden layer.
        with_cp: The caller recomputes the whole block, so GELU is not recomputed here.
    """

    def __init__(self, dims: int, hidden_dims: int, *, with_cp: bool = False) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(dims, hidden_dims), nn.GELU())
        self.layers = nn.Sequential(first, nn.Linear(hidden_dims, dims))
        self.with_cp = with_cp

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layers to (..., C)."""
        # torch's compiler decides what to recompute.
        if self.with_cp or torch.compiler.is_compiling():
            return self.layers(x)
        (linear, gelu), last = self.layers
        hidden = linear(x)
        activated = gelu(hidden)
        with saved_tensors_hooks(*_recompute(gelu, hidden, activated)):
            return last(activated)


def _recompute(
    function: Callable[[torch.Tensor], torch.Tensor], source: torch.Tensor, result: torch.Tensor
) -> tuple[Callable, Callable]:
    """Hooks that save ``source`` where autograd would save ``function(source)``."""
    is_result = weakref.ref(result)  # a strong reference would stay in the graph
    source = source.detach()

    def pack(saved: torch.Tensor) -> torch.Tensor | tuple[int, ...]:
        made = is_result()
        return tuple(saved.shape) if saved is made or saved._base is made else saved

    def unpack(packed: torch.Tensor | tuple[int, ...]) -> torch.Tensor:
        return function(source).reshape(packed) if isinstance(packed, tuple) else packed

    return pack, unpack


class TransformerBlock(nn.Module):
    """Pre-norm block: x + attention, then x + MLP, with layer scale and drop path.

    The layer scale multiplies the outputs. It is not folded into the weights, because most of the
    products would be zero in half precision.

    Args:
        dims: C, width of a token.
        num_heads: Heads.
        hidden_dims: Width of the MLP's hidden layer; 4 C by default.
        qkv_bias: See :class:`Attention`.
        layer_scale: Initial value of the layer scale; None: no layer scale.
        drop_path: Rate of stochastic depth.
        bias: See :class:`Attention`.
        with_cp: Recompute the block in the backward pass to save memory.
        norm_eps: Epsilon of the norms.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        hidden_dims: int | None = None,
        *,
        qkv_bias: str = 'full',
        layer_scale: float | None = None,
        drop_path: float = 0.0,
        bias: BiasTable | AxisTables | None = None,
        with_cp: bool = False,
        norm_eps: float = NORM_EPS,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.ln1 = nn.LayerNorm(dims, eps=norm_eps)
        self.attn = Attention(dims, num_heads, qkv_bias=qkv_bias, bias=bias)
        self.ln2 = nn.LayerNorm(dims, eps=norm_eps)
        self.ffn = FeedForward(dims, hidden_dims or 4 * dims, with_cp=with_cp)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        for name in ('gamma_1', 'gamma_2'):
            value = None if layer_scale is None else torch.full((dims,), float(layer_scale))
            self.register_parameter(name, None if value is None else nn.Parameter(value))

    def forward(self, tokens: torch.Tensor, *args: object) -> torch.Tensor:
        """Run the block; see :meth:`run` for the arguments."""
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(self.run, tokens, *args, use_reentrant=False)
        return self.run(tokens, *args)

    def run(
        self,
        tokens: torch.Tensor,
        bias: torch.Tensor | None = None,
        wanted: slice | None = None,
        grid: tuple[int, int] | None = None,
    ) -> torch.Tensor:
        """Tokens (B, L, C) -> (B, wanted, C); the arguments are those of :class:`Attention`."""
        x = self.scaled(self.attn(self.ln1(tokens), bias, wanted, grid), self.gamma_1)
        return self.feed_forward((tokens if wanted is None else tokens[:, wanted]) + x)

    def feed_forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """The second half of the block."""
        return tokens + self.scaled(self.ffn(self.ln2(tokens)), self.gamma_2)

    def scaled(self, branch: torch.Tensor, gamma: torch.Tensor | None) -> torch.Tensor:
        """Apply layer scale and drop path to a branch."""
        return self.drop_path(branch if gamma is None else gamma * branch)


def init_mae_weights(module: nn.Module) -> None:
    """Initialise one module as MAE does; pass it to ``apply``.

    Linear: Xavier-uniform weights, zero bias. LayerNorm: ones and zeros. Other modules are
    left unchanged.

    Source: MAE, arXiv:2111.06377, official ``_init_weights``.
    """
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
