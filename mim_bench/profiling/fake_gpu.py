"""A fake GPU, whose tensors have shapes, types and a device, but no values.

A network on it runs forward and backward at full size in seconds, without memory, and every
synchronisation is found: an operation that reads a value or a size back (``item``, ``nonzero``,
``.cpu()``) raises, as does an operator with tensors of two devices. The CPU stays real.

Registering the device cannot be undone (it becomes torch's accelerator), so use a separate process:
:class:`mim_bench.profiling.fake_step.OwnProcess`.
"""

import contextlib
import functools
import importlib
import math
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

import torch
from mmengine.structures import instance_data
from torch import nn
from torch._subclasses.fake_impls import (
    _like_tensor_constructors,
    has_meta,
    op_implementations_checks,
)
from torch._subclasses.fake_tensor import (
    FakeTensor,
    FakeTensorMode,
    in_kernel_invocation_manager,
)
from torch.utils._device import DeviceContext
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from mim_bench.errors import StackError, TrainingError
from mim_bench.profiling.fake_kernels import forget_cast_weights, register_kernels
from mim_bench.profiling.known_read_backs import KNOWN_READ_BACKS, ReadBack
from mim_bench.profiling.step_trace import DEVICE_OF, tensors_of

DEVICE = 'fakegpu'
_aten = torch.ops.aten
_COPIES = {_aten._to_copy.default, _aten.copy_.default}
# Operators whose result size depends on values.
_COUNTING = {
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten._unique2.default,
    _aten.unique_dim.default,
    _aten.unique_consecutive.default,
    _aten.repeat_interleave.Tensor,
    _aten.bincount.default,
}
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}
# Operators that torch treats apart for devices and for sizes that are symbols.
_PLAIN = {
    *_like_tensor_constructors,
    _aten.view.default,
    _aten._unsafe_view.default,
    _aten.select.int,
    _aten.slice.Tensor,
    _aten._to_copy.default,
}
_READING = {_aten._local_scalar_dense.default, _aten.equal.default, _aten.is_nonzero.default}
_optimizers = importlib.import_module('torch.optim.optimizer')  # torch.optim hides the name
# Name in torch's modules of the classes whose tensors are computed list by list on a GPU.
_LISTABLE = '_foreach_supported_types'
# Files that may lie between a line of a network and its operators on the stack.
_OWN = ('fake_gpu.py', 'fake_kernels.py', 'step_trace.py')
_SKIPPED = (
    str(Path(torch.__file__).parent),
    *(str(Path(__file__).with_name(name)) for name in _OWN),
)
_PACKAGE = str(Path(__file__).parents[1])


class ReadBackError(TrainingError):
    """A training step reads from the device."""


class MixedDevicesError(TrainingError):
    """An operator got tensors of the GPU and of the CPU."""


class _Backend:
    """The functions that torch needs of a device module."""

    @staticmethod
    def is_initialized() -> bool:
        return True

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        pass


def register() -> None:
    """Register the device with torch, once a process.

    Raises:
        StackError: torch cannot have devices of Python, or there is a real GPU.
    """
    try:
        from torch.utils.backend_registration import _setup_privateuseone_for_python_backend
    except ImportError as error:
        raise StackError(
            f'torch {torch.__version__} has no devices that are written in Python, which the fake '
            'GPU is. Use torch 2.11.'
        ) from error
    if hasattr(torch, DEVICE):
        return
    if torch.cuda.is_available():
        raise StackError(
            'The fake GPU would take the place of the real one in this process. Hide that: set '
            'CUDA_VISIBLE_DEVICES to nothing.'
        )
    _setup_privateuseone_for_python_backend(DEVICE, _Backend)
    register_kernels(DEVICE)


class FakeGpu(FakeTensorMode):
    """Dispatch mode of the fake GPU; tensors of the CPU stay real.

    Raises:
        ReadBackError: Inside the context, a value is read back that is none of
            ``KNOWN_READ_BACKS``.
        MixedDevicesError: Inside the context, an operator mixes devices.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and the check costs as much as a small operator

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        self.met: set[ReadBack] = set()
        self.late_errors: list[TrainingError] = []
        self._known_masks = WeakTensorKeyDictionary()  # the backward pass reads them again

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is DEVICE_OF and isinstance(args[0], FakeTensor):
            return args[0].fake_device
        kwargs = kwargs or {}
        tensors = list(tensors_of((args, kwargs)))
        try:
            if any(t.device.type == DEVICE for t in tensors):
                return self._on_gpu(func, types, args, kwargs, tensors)
            is_made_there = str(kwargs.get('device')).startswith(DEVICE)
            if is_made_there or any(isinstance(t, FakeTensor) for t in tensors):
                return super().__torch_dispatch__(func, types, args, kwargs)
            return func(*args, **kwargs)
        except Exception:
            if _is_in_backward():
                # torch aborts the process if an operator raises there on such a device.
                traceback.print_exc()
            raise

    def _on_gpu(
        self, func: Any, types: Any, args: tuple, kwargs: dict, tensors: list[torch.Tensor]
    ) -> Any:
        if func in _COPIES:
            if _is_to_cpu(func, args, kwargs):
                dtype = kwargs.get('dtype') or args[-1].dtype
                copy = torch.full(args[-1].shape, self._allow(func).copied, dtype=dtype)
                return copy if func is _aten._to_copy.default else args[0].copy_(copy)
        elif any(t.device.type == 'cpu' and t.dim() for t in tensors):
            args, kwargs = self._on_one_device(func, args, kwargs, tensors)
        if func in _READING:
            return self._allow(func).value
        if _counts(func, args):
            known = self._allow(func, args)
            with self:
                return _as_if_found(known, func, args, kwargs)
        places = [kwargs['device']] if kwargs.get('device') else []
        places += [t.device if type(t) is FakeTensor else None for t in tensors]
        is_here = all(place is not None and place.type == DEVICE for place in places)
        if is_here and _has_own_shapes(func):
            return self._shaped(func, args, kwargs)
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _shaped(self, func: Any, args: tuple, kwargs: dict) -> Any:
        """The result by the operator's kernel for the device ``meta``.

        torch's own way decomposes many operators in Python and takes three times as long.
        """
        if func in _like_tensor_constructors or kwargs.get('device') is not None:
            kwargs = {**kwargs, 'device': 'meta'}
        with in_kernel_invocation_manager(self):
            result = func(*args, **kwargs)
        device = torch.device(DEVICE, 0)
        return tree_map_only(
            torch.Tensor,
            lambda t: t if isinstance(t, FakeTensor) else FakeTensor(self, t, device),
            result,
        )

    def _on_one_device(
        self, func: Any, args: tuple, kwargs: dict, tensors: list[torch.Tensor]
    ) -> tuple[tuple, dict]:
        """Check that all arguments are on the GPU, except known indices."""
        path, function, place = _where()
        if func not in _INDEXING or self._known(path, function) is None:
            found = ' and '.join(sorted({f'{t.device} {tuple(t.shape)}' for t in tensors}))
            self._fail(
                MixedDevicesError(
                    f'{place}: {func} gets tensors of {found}. Make all of them on the device.'
                )
            )

        def moved(tensor: torch.Tensor) -> torch.Tensor:
            to_gpu = {'device': torch.device(DEVICE)}
            return super(FakeGpu, self).__torch_dispatch__(
                _aten._to_copy.default, (), (tensor,), to_gpu
            )

        return tree_map_only(torch.Tensor, moved, (args, kwargs))

    def _known(self, path: str, function: str) -> ReadBack | None:
        for known in KNOWN_READ_BACKS:
            if known.place in path and known.function in ('', function):
                self.met.add(known)
                return known
        return None

    def _allow(self, func: Any, args: tuple = ()) -> ReadBack:
        """The known read-back of the current line; raises for others."""
        masks = [i for i in args[1] if i is not None] if func in _INDEXING else []
        path, function, place = _where()
        known = self._known(path, function)
        known = known or next(filter(None, map(self._known_masks.get, masks)), None)
        if known is None:
            self._fail(
                ReadBackError(
                    f'{place}: {func} reads from the device, so every training step waits for it '
                    'there. Compute it on the device, or with the batch in the loader.'
                )
            )
            return ReadBack('', '', 'none')
        self._known_masks.update(dict.fromkeys(masks, known))
        return known

    def _fail(self, error: TrainingError) -> None:
        """Raise the error; in the backward pass, raise it at its end."""
        if not _is_in_backward():
            raise error
        self.late_errors.append(error)


@functools.cache
def _has_own_shapes(func: Any) -> bool:
    """Whether the kernel for the device ``meta`` alone gives an operator's results."""
    if func.namespace != 'aten' or not has_meta(func):
        return False
    if func in _PLAIN or func.name().startswith('aten::_foreach_'):
        return True
    return not any(check(func) for check, _ in op_implementations_checks)


def _is_in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1


def _is_to_cpu(func: Any, args: tuple, kwargs: dict) -> bool:
    """Whether an operator copies a tensor of the GPU to the CPU."""
    if func is _aten._to_copy.default:
        return torch.device(kwargs.get('device') or DEVICE).type == 'cpu'
    return args[0].device.type == 'cpu'


def _counts(func: Any, args: tuple) -> bool:
    """Whether the size of the result depends on values."""
    if func in _COUNTING or (func.namespace == 'torchvision' and 'nms' in str(func)):
        return True
    if func not in _INDEXING:
        return False
    is_masked = any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1])
    # Writing one value needs no positions.
    return is_masked and (func is _aten.index.Tensor or args[2].numel() != 1)


def _as_if_found(known: ReadBack, func: Any, args: tuple, kwargs: dict) -> Any:
    """The result of an operator with a value-dependent size, for an assumed share of elements."""
    x, share = args[0], known.share
    if func in _INDEXING:
        indices = [index for given in args[1] for index in _positions(given, share)]
        return func(x, indices, *args[2:], **kwargs)
    count = math.ceil(share * x.numel())
    if func is _aten.nonzero.default:
        return x.new_empty((count, x.dim()), dtype=torch.int64)
    if func is _aten.masked_select.default:
        return x.new_empty(count)
    if func is _aten._unique2.default:
        count = known.distinct or count
        counts = x.new_empty(count, dtype=torch.int64)
        return x.new_empty(count), x.new_empty(x.shape, dtype=torch.int64), counts
    if func.namespace == 'torchvision':
        return x.new_empty(math.ceil(share * len(x)), dtype=torch.int64)
    raise StackError(f'{func}: the fake GPU does not know how large its result may be.')


def _positions(index: torch.Tensor | None, share: float) -> list[torch.Tensor | None]:
    """Indices of a mask, as torch computes them; indices are returned unchanged."""
    if index is None or index.dtype not in (torch.bool, torch.uint8):
        return [index]
    found = index.new_empty(math.ceil(share * index.numel()), dtype=torch.int64)
    return [found] * index.dim()


def _where() -> tuple[str, str, str]:
    """The innermost line outside torch: file, function and its description.

    The description includes the innermost line of this package, if it is another one.
    """
    frames = list(_frames(sys._getframe(1)))
    inner = next((f for f in frames if not f.f_code.co_filename.startswith(_SKIPPED)), frames[0])
    ours = next(
        (
            f
            for f in frames
            if f.f_code.co_filename.startswith(_PACKAGE)
            and not f.f_code.co_filename.startswith(str(Path(_PACKAGE) / 'profiling'))
        ),
        None,
    )
    path, function = inner.f_code.co_filename, inner.f_code.co_name
    place = f'{path}:{inner.f_lineno} ({function})'
    if ours is not None and ours is not inner:
        place += f', called in {ours.f_code.co_filename}:{ours.f_lineno} ({ours.f_code.co_name})'
    return path, function, place


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


class OnMeta(DeviceContext):
    """Mode that creates modules on the device ``meta``; drop-path rates stay numbers."""

    def __init__(self) -> None:
        super().__init__(torch.device('meta'))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Create tensors on ``meta``, except numbers that constructors read."""
        if func is torch.linspace:
            return func(*args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)


def put_on(model: nn.Module, mode: FakeGpu) -> nn.Module:
    """Replace the parameters and buffers of a model by ones of the fake GPU, in place.

    Args:
        model: On any device, also ``meta``.
        mode: Dispatch mode in which the model will run.
    """
    made: dict[torch.Tensor, torch.Tensor] = {}

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        if tensor not in made:
            with mode, torch.no_grad():
                new = torch.empty_strided(
                    tensor.shape, tensor.stride(), dtype=tensor.dtype, device=DEVICE
                )
            if isinstance(tensor, nn.Parameter):
                new = nn.Parameter(new, tensor.requires_grad)
            made[tensor] = new
        return made[tensor]

    for module in model.modules():
        for table in (module._parameters, module._buffers):
            table.update({name: fake(t) for name, t in table.items() if t is not None})
        if hasattr(module, '_set_device'):  # mmengine's preprocessors store their device
            module._set_device(torch.device(DEVICE))
    return model


@contextlib.contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Context in which the device ``fakegpu`` replaces the GPU, also for ``autocast('cuda')``."""
    register()
    plain = torch.autocast.__init__

    def init(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        plain(self, DEVICE if device_type == 'cuda' else device_type, *args, **kwargs)

    with (
        mock.patch.object(torch.autocast, '__init__', init),
        # Called when autocast ends, also in the backward pass where blocks are recomputed.
        mock.patch.object(torch, 'clear_autocast_cache', forget_cast_weights),
        # As for real parameters, optimisers and the clipping of gradients work on lists of tensors.
        mock.patch.object(_optimizers, _LISTABLE, [torch.Tensor, nn.Parameter, FakeTensor]),
        mock.patch.object(torch.utils._foreach_utils, _LISTABLE, [torch.Tensor, FakeTensor]),
        # mmengine indexes only by tensors of known classes, which do not include the fake GPU's.
        mock.patch.object(instance_data, 'IndexType', instance_data.IndexType | torch.Tensor),
        # The backward pass runs in this thread, so that stack and errors are complete.
        torch.autograd.set_multithreading_enabled(False),
        FakeGpu() as mode,
    ):
        yield mode
    if mode.late_errors:
        raise mode.late_errors[0]
