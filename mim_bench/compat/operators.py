"""Operators of ``mmcv.ops`` and the origin of each; needs no torch."""

import ast
from collections.abc import Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

# Operator of mmcv._ext -> library that implements it in mim_bench.compat.
PROVIDED = {
    'roi_align_forward': 'torchvision',
    'roi_align_backward': 'torchvision',
    'bbox_overlaps': 'torch',
    'nms': 'torchvision',
    'softnms': 'numba',
    'deform_conv_forward': 'torchvision',
    'deform_conv_backward_input': 'torchvision',
    'deform_conv_backward_parameters': 'torchvision',
    'modulated_deform_conv_forward': 'torchvision',
    'modulated_deform_conv_backward': 'torchvision',
    'sigmoid_focal_loss_forward': 'torch',
    'sigmoid_focal_loss_backward': 'torch',
}

# Functions of mmcv._ext that report how it was built; no operators.
_QUERIES = {'get_compiler_version', 'get_compiling_cuda_version'}


def operator_sources() -> dict[str, str]:
    """The origin of each operator that the installed mmcv uses.

    Returns:
        Operator name to ``torchvision``, ``torch``, ``numba``, ``compiled`` (an
        installed ``mmcv._ext``) or ``missing`` (raises when called), sorted by
        name. Empty without mmcv.
    """
    spec = PathFinder.find_spec('mmcv')
    if spec is None or not spec.submodule_search_locations:
        return {}
    names = set().union(*(_requested(Path(d)) for d in spec.submodule_search_locations))
    is_compiled = find_compiled() is not None
    return {
        name: 'compiled' if is_compiled else PROVIDED.get(name, 'missing')
        for name in sorted(names - _QUERIES)
    }


def find_compiled() -> ModuleSpec | None:
    """The compiled ``mmcv._ext`` that is installed, without importing mmcv or it."""
    spec = PathFinder.find_spec('mmcv')
    if spec is None or not spec.submodule_search_locations:
        return None
    return PathFinder.find_spec('mmcv._ext', list(spec.submodule_search_locations))


def _requested(package: Path) -> Iterator[str]:
    """Names that mmcv's modules request with ``load_ext('_ext', [names])``."""
    for path in (package / 'ops').glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'load_ext':
                yield from ast.literal_eval(node.args[1])


def compile_line() -> str:
    """The command that compiles the operators for the installed distribution of mmcv.

    It needs a compiler (nvcc for CUDA) and some ten minutes.
    """
    tools = 'pip install setuptools wheel ninja'
    build = 'pip install --force-reinstall --no-deps --no-cache-dir --no-build-isolation'
    if any(metadata.distributions(name='mmcv-lite')):
        return f'{tools} && pip uninstall -y mmcv-lite && {build} mmcv==2.1.0'
    return f'{tools} && {build} onedl-mmcv'
