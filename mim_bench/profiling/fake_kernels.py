"""Autocast and the choice of attention kernels on the fake GPU, as on CUDA.

Registered for torch's PrivateUse1 backend, which the fake GPU uses. The cast of each operator is
read from the header that torch's own CUDA autocast is compiled from.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves, tree_map_only

from mim_bench.errors import StackError

_KEYS = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
_HEADER = 'ATen/autocast_mode.h'
# Alignment of a bias's rows, in entries, in the memory-efficient kernel.
_BIAS_ALIGNMENT = 8
_LARGEST_FLASH_HEAD = 256

# Weights that were cast in this forward pass: by id, the weight and its copy.
_cast_weights: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
_libraries: list[torch.library.Library] = []


def register_kernels(device_type: str) -> None:
    """Register autocast and the choice of the attention kernel for the fake GPU.

    Args:
        device_type: The name of the PrivateUse1 backend.

    Raises:
        StackError: The autocast rules of this torch are not found.
    """
    fallback = torch.library.Library('_', 'IMPL')
    fallback.fallback(torch.library.fallthrough_kernel, 'AutocastPrivateUse1')
    aten = torch.library.Library('aten', 'IMPL')
    for policy, names in autocast_policies().items():
        for name in names:
            kernel = _autocast_kernel(_overload(name), policy, device_type)
            aten.impl(name, kernel, 'AutocastPrivateUse1')
    aten.impl('scaled_dot_product_attention', _attention, 'AutogradPrivateUse1')
    _libraries.extend([fallback, aten])  # registrations last as long as these objects


def forget_cast_weights() -> None:
    """Drop the copies of weights that autocast made, as leaving ``torch.autocast`` does."""
    _cast_weights.clear()


def autocast_policies() -> dict[str, list[str]]:
    """Operators with overload, as ``pow.Scalar``, by their policy in CUDA's autocast.

    Returns:
        ``lower`` casts to the low precision, ``float32`` to float32, ``dtype`` asks for a result
        in float32, ``append`` does so by another overload, ``widest`` casts to the widest
        argument.

    Raises:
        StackError: The header is absent or has other macros.
    """
    path = Path(torch.__file__).parent / 'include' / _HEADER
    text = path.read_text(encoding='utf-8').replace('\\\n', '') if path.exists() else ''
    found = {
        policy: _names_in(text, f'AT_FORALL_{macro}')
        for policy, macro in (
            ('lower', 'LOWER_PRECISION_FP'),
            ('float32', 'FP32'),
            ('dtype', 'FP32_SET_OPT_DTYPE'),
            ('widest', 'PROMOTE'),
        )
    }
    if not all(found.values()):
        raise StackError(
            f'{path}: does not list the operators of autocast as torch 2.11 does, so the fake GPU '
            'would compute in other precisions than a real one. Use a tested torch.'
        )
    # The dtype of these two is an argument of another overload.
    return {**found, 'append': ['norm.Scalar', 'norm.ScalarOpt_dim']}


def _names_in(text: str, macro: str) -> list[str]:
    match = re.search(rf'#define {macro}\(_\)(.*)', text)
    pairs = re.findall(r'_\((\w+)(?:, (\w+))?\)', match[1]) if match else []
    names = [f'{name}.{overload}' if overload else name for name, overload in pairs]
    # Overloads by named dimension are unused, and operators differ between versions.
    return [name for name in names if 'name' not in name.lower() and _overload(name) is not None]


def _overload(name: str) -> Any:
    packet, _, overload = name.partition('.')
    operator = getattr(torch.ops.aten, packet, None)
    return getattr(operator, overload or 'default', None)


def _autocast_kernel(operator: Any, policy: str, device_type: str) -> Callable:
    def is_eligible(tensor: Any) -> bool:
        return (
            isinstance(tensor, torch.Tensor)
            and tensor.device.type == device_type
            and tensor.is_floating_point()
            and tensor.dtype != torch.float64
        )

    names = [argument.name for argument in operator._schema.arguments]

    def kernel(*args: Any, **kwargs: Any) -> Any:
        low = torch.get_autocast_dtype(device_type)
        with torch._C._ExcludeDispatchKeyGuard(_KEYS):
            if policy == 'append' and is_eligible(args[0]):
                return _norm_with_dtype(operator)(*args, **kwargs, dtype=torch.float32)
            if policy == 'dtype' and is_eligible(args[0]):
                given = dict(zip(names, args, strict=False)) | kwargs
                return operator(**(given | {'dtype': given.get('dtype') or torch.float32}))
            dtype = {'lower': low, 'float32': torch.float32}.get(policy)
            if policy == 'widest':
                dtypes = [t.dtype for t in tree_leaves((args, kwargs)) if is_eligible(t)]
                dtype = torch.float32 if torch.float32 in dtypes else low
            cast = lambda tensor: _cast(tensor, dtype) if is_eligible(tensor) else tensor  # noqa: E731
            args, kwargs = tree_map_only(torch.Tensor, cast, (args, kwargs))
            return operator(*args, **kwargs)

    return kernel


def _norm_with_dtype(operator: Any) -> Any:
    norm = torch.ops.aten.norm
    return norm.ScalarOpt_dtype if operator == norm.Scalar else norm.ScalarOpt_dim_dtype


def _cast(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if tensor.dtype == dtype:
        return tensor
    is_weight = tensor.requires_grad and tensor.is_leaf and dtype != torch.float32
    if not is_weight or not torch.is_autocast_cache_enabled():
        return tensor.to(dtype)
    if id(tensor) not in _cast_weights:
        _cast_weights[id(tensor)] = tensor, tensor.to(dtype)
    return _cast_weights[id(tensor)][1]


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """Attention by the kernel that CUDA selects on a GPU of the Ampere generation or later.

    Flash attention for half precision without a mask; the memory-efficient kernel, whose
    gradient of a bias is dense, for float32 or with a mask; otherwise explicit matrices,
    or where :func:`torch.nn.attention.sdpa_kernel` allows nothing else.
    """
    aten, cuda = torch.ops.aten, torch.backends.cuda
    sizes = {tensor.shape[-1] for tensor in (query, key, value)}
    is_fusible = query.dim() == 4 and len(sizes) == 1 and not enable_gqa
    is_half = query.dtype in (torch.float16, torch.bfloat16)
    if is_fusible and is_half and attn_mask is None and cuda.flash_sdp_enabled():
        width = max(sizes)
        if width <= _LARGEST_FLASH_HEAD:
            scale = width**-0.5 if scale is None else scale
            q, k, v = (F.pad(t, (0, -width % 8)) if width % 8 else t for t in (query, key, value))
            out = aten._scaled_dot_product_flash_attention(
                q, k, v, dropout_p, is_causal, scale=scale
            )[0]
            return out[..., :width]
    is_aligned = max(sizes) % (8 if is_half else 4) == 0
    if is_fusible and is_aligned and cuda.mem_efficient_sdp_enabled():
        if attn_mask is not None:
            attn_mask = _aligned(attn_mask, query).expand(*query.shape[:3], key.shape[2])
        keeps_sums = any(tensor.requires_grad for tensor in (query, key, value))
        return aten._scaled_dot_product_efficient_attention(
            query, key, value, attn_mask, keeps_sums, dropout_p, is_causal, scale=scale
        )[0]
    return aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, None, scale=scale, enable_gqa=enable_gqa
    )[0]


def _aligned(mask: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """The mask as the kernel needs it: in the queries' type, rows aligned, copied if needed."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill(~mask, float('-inf'))
    strides = [stride for stride, size in zip(mask.stride(), mask.shape, strict=True) if size > 1]
    if strides and strides[-1] == 1 and all(s % _BIAS_ALIGNMENT == 0 for s in strides[:-1]):
        return mask
    width = mask.shape[-1]
    return F.pad(mask, (0, _BIAS_ALIGNMENT - width % _BIAS_ALIGNMENT))[..., :width]
