"""Tracks the bytes of a step's live tensors by purpose, and counts its floating-point operations.

torch's ``torch.distributed._tools.MemTracker`` and ``FlopCounterMode`` give the same numbers. The
first refuses networks with frozen parameters and takes a snapshot of each module, which takes
minutes for large networks; the second decomposes every operator and needs a pass of its own.
"""

import weakref
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry, sdpa_flop

# Allocation unit of torch's allocator on a GPU, in bytes.
BLOCK_BYTES = 512
# The operator by which C++ asks a tensor of a subclass for its device: every second one of a step.
DEVICE_OF = torch.ops.prim.device.default
_aten = torch.ops.aten


def _attention_backward(
    gradient: Any, query: Any, key: Any, value: Any, *args: Any, **_: Any
) -> int:
    """Twice the forward pass; recomputation in fused kernels is not counted."""
    return 2 * sdpa_flop(query.shape, key.shape, value.shape)


def _convolution_backward(gradient: Any, images: Any, weight: Any, *settings: Any, **_: Any) -> int:
    """The forward pass again for each of the gradients of images and weight that are asked for.

    torch's formula (2.11) counts that of the weight once more for every group, so that the
    depthwise convolutions of ConvNeXt seem to take hundreds of times as much.
    """
    transposed, output_mask = settings[4], settings[7]
    once = conv_flop_count(images.shape, weight.shape, gradient.shape, transposed)
    return once * sum(output_mask[:2])


_convolution_backward._get_raw = True  # FlopCounterMode is to pass the tensors, not their shapes
# In place of torch's formulas.
CORRECTED = {_aten.convolution_backward: _convolution_backward}
# Formula of the operations of an operator, from the tensors of its call; a multiply-add is two.
_FLOPS = {
    **flop_registry,
    **CORRECTED,
    _aten._scaled_dot_product_flash_attention_backward: _attention_backward,
    _aten._scaled_dot_product_efficient_attention_backward: _attention_backward,
}


@dataclass(frozen=True)
class MemoryParts:
    """Bytes at one moment, by purpose.

    Attributes:
        parameters: All parameters, frozen ones included, and buffers.
        gradients: Gradients of parameters.
        optimizer: State of the optimiser.
        activations: Tensors of the forward pass that are still needed, the batch included.
        temporary: Temporary tensors of the backward pass and the optimiser.
    """

    parameters: int = 0
    gradients: int = 0
    optimizer: int = 0
    activations: int = 0
    temporary: int = 0

    @property
    def total(self) -> int:
        """Sum of the parts."""
        return sum(getattr(self, field.name) for field in fields(self))


def tensors_of(tree: Any) -> Iterator[torch.Tensor]:
    """The tensors in an operator's arguments or results; torch's ``tree_leaves`` is slower."""
    if isinstance(tree, torch.Tensor):
        yield tree
    elif isinstance(tree, list | tuple):
        for entry in tree:
            yield from tensors_of(entry)
    elif isinstance(tree, dict):
        for entry in tree.values():
            yield from tensors_of(entry)


class StepTrace(TorchDispatchMode):
    """Context that tracks the memory of tensors made on a device, and counts operations.

    Matrix products, convolutions and attention are counted, recomputation by activation
    checkpointing included; element-wise operations are not, as in published numbers.

    Args:
        device_type: Device type of torch.
        model: Model whose parameters, buffers and gradients are counted from the start.

    Attributes:
        peak: The parts at the peak.
        flops_forward: Operations outside the backward pass.
        flops: All operations.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and the check costs as much as a small operator

    def __init__(self, device_type: str, model: nn.Module) -> None:
        super().__init__()
        self.device_type = device_type
        self.flops_forward = self.flops = 0
        self._parts: dict[weakref.ref, str] = {}
        self._bytes = dict.fromkeys((field.name for field in fields(MemoryParts)), 0)
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._is_in_optimizer = False
        for tensor in (*model.parameters(), *model.buffers()):
            self._note(tensor, 'parameters')
        self.note_state(None)
        self.peak = self.now
        self._most = self.peak.total

    def note_state(self, optimizer: torch.optim.Optimizer | None) -> None:
        """Count gradients and an optimiser's state as such, even if made inside this context."""
        for parameter in self._trained:
            if parameter.grad is not None:
                self._note(parameter.grad, 'gradients')
        for tensor in tensors_of(list(optimizer.state.values()) if optimizer else []):
            self._note(tensor, 'optimizer')

    @property
    def now(self) -> MemoryParts:
        """The parts at this moment."""
        return MemoryParts(**self._bytes)

    def __enter__(self) -> 'StepTrace':
        """Install hooks on gradients and optimiser steps."""
        self._hooks = [
            p.register_post_accumulate_grad_hook(lambda p: self._note(p.grad, 'gradients'))
            for p in self._trained
        ]
        self._hooks.append(register_optimizer_step_pre_hook(lambda *_: self._set_optimizing(True)))
        self._hooks.append(
            register_optimizer_step_post_hook(lambda *_: self._set_optimizing(False))
        )
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()
        super().__exit__(*error)

    def _set_optimizing(self, is_in_optimizer: bool) -> None:
        self._is_in_optimizer = is_in_optimizer

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Count the results of an operator, and its operations."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func is DEVICE_OF:
            return result
        is_backward = torch._C._current_graph_task_id() != -1
        if (formula := _FLOPS.get(func._overloadpacket)) is not None:
            flops = formula(*args, **kwargs, out_val=result)
            self.flops += flops
            self.flops_forward += 0 if is_backward else flops
        part = 'temporary' if is_backward or self._is_in_optimizer else 'activations'
        for tensor in tensors_of(result):
            self._note(tensor, part, is_new=True)
        if (total := sum(self._bytes.values())) > self._most:
            self._most, self.peak = total, self.now
        return result

    def _note(self, tensor: torch.Tensor, part: str, *, is_new: bool = False) -> None:
        """Assign a tensor's memory to a part."""
        if tensor.device.type != self.device_type:
            return
        storage = tensor.untyped_storage()
        num_bytes = -(-storage.nbytes() // BLOCK_BYTES) * BLOCK_BYTES
        key = weakref.ref(storage, partial(self._drop, num_bytes))
        known = self._parts.get(key)
        if known == part or (known and is_new):
            return
        if known:
            self._parts[key] = part  # keeps the first reference, which ends with the memory
            self._bytes[known] -= num_bytes
        else:
            self._parts[key] = part
        self._bytes[part] += num_bytes

    def _drop(self, num_bytes: int, key: weakref.ref) -> None:
        part = self._parts.pop(key, None)
        if part:
            self._bytes[part] -= num_bytes
