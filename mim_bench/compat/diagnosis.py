"""Checks whether this machine can train: what is installed, what is missing, how to fix it.

Each check imports its libraries, so all take some seconds together; nothing
is changed.
"""

import importlib
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from mim_bench.compat.operators import PROVIDED, compile_line, find_compiled, operator_sources
from mim_bench.compat.stack import LIBRARIES, Stack, describe_stack
from mim_bench.errors import StackError

_HEADLESS_OPENCV = (
    'pip install --force-reinstall --no-deps -c requirements/constraints.txt opencv-python-headless'
)
_PYTHONS = ((3, 10), (3, 13))


@dataclass(frozen=True)
class Finding:
    """One result of the diagnosis."""

    name: str
    found: str
    is_ok: bool = True
    mend: str = ''
    """The command or sentence that fixes it; empty if nothing is wrong."""


def diagnose() -> list[Finding]:
    """Check Python, torch, the OpenMMLab libraries, the devices and the operators."""
    try:
        stack = describe_stack()
    except StackError as error:
        return [_python(), *_torch('onedl'), Finding('OpenMMLab', 'mixed', False, str(error))]
    extra = 'openmmlab' if stack.distribution == 'openmmlab' else 'onedl'
    return [_python(), *_torch(extra), *_libraries(stack, extra), *_devices(), *_operators()]


def install_line(extra: str) -> str:
    """The command that installs the tested versions, in the checkout of mim-bench."""
    return f"pip install -c requirements/constraints.txt -e '.[{extra}]'"


def _python() -> Finding:
    version = platform.python_version()
    if _PYTHONS[0] <= sys.version_info[:2] <= _PYTHONS[1]:
        return Finding('Python', version)
    low, high = ('.'.join(map(str, bound)) for bound in _PYTHONS)
    return Finding('Python', version, False, f'use Python {low} to {high}')


def _torch(extra: str) -> Iterator[Finding]:
    yield _module('torch', 'torch', install_line(extra))
    # Its operators fail to load beside a torch of another build.
    yield _module('torchvision', 'torchvision.ops', f'{install_line(extra)} --force-reinstall')
    yield _module('timm', 'timm', install_line(extra))
    yield _module('OpenCV', 'cv2', _HEADLESS_OPENCV)


def _libraries(stack: Stack, extra: str) -> Iterator[Finding]:
    if '+' in stack.distribution:
        note = 'libraries of both distributions side by side are not tested'
        yield Finding('OpenMMLab', stack.distribution, mend=note)
    packages = {library.import_name: library for library in stack.libraries}
    for name in LIBRARIES:
        if name not in packages:
            yield Finding(name, 'not installed', False, install_line(extra))
            continue
        finding = _module(name, _ENTRIES[name], install_line(extra))
        label = f'{packages[name].package} {packages[name].version}'
        yield Finding(name, label, finding.is_ok, finding.mend)


# Modules that a run imports; the top-level packages alone import little.
_ENTRIES = {
    'mmengine': 'mmengine.runner',
    'mmcv': 'mmcv.ops',
    'mmpretrain': 'mmpretrain.models',
    'mmseg': 'mmseg.models',
    'mmdet': 'mmdet.models',
}


def _module(name: str, module: str, mend: str) -> Finding:
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken binary may raise anything
        reason = f'{type(error).__name__}: {error}'
        found = 'not installed' if isinstance(error, ModuleNotFoundError) else 'does not load'
        return Finding(name, found, False, f'{mend}  ({reason})')
    version = getattr(sys.modules[module.split('.')[0]], '__version__', 'installed')
    return Finding(name, version)


def _devices() -> Iterator[Finding]:
    torch = sys.modules.get('torch')
    if torch is None:
        return
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield Finding(f'cuda:{index}', f'{device.name}, {device.total_memory / 2**30:.0f} GiB')
    if not torch.cuda.device_count():
        yield Finding('device', f'cpu, {torch.get_num_threads()} threads; no CUDA device visible')


def _operators() -> Iterator[Finding]:
    compiled = find_compiled()
    if compiled is not None:
        mend = f'rebuild it for this torch: {compile_line()}; or delete {compiled.origin}'
        yield _module('compiled mmcv._ext', 'mmcv._ext', mend)
    sources = operator_sources()
    for name in PROVIDED:
        if name in sources:
            yield Finding(name, f'operator from {sources[name]}')
    others = {name for name in sources if name not in PROVIDED}
    missing = sum(sources[name] == 'missing' for name in others)
    if missing:
        # Not an error: none of the recipes here uses one.
        note = f'only if a model of yours calls one: {compile_line()}'
        yield Finding('other operators', f'{missing} missing, raise when called', mend=note)
    elif others:
        yield Finding('other operators', f'{len(others)} compiled')
