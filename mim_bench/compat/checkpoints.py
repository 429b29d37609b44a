"""Makes mmengine read checkpoints without running code from them.

torch refuses classes that are not on its allow-list (``weights_only=True``, the
default from 2.6 on). mmengine 0.10.7 writes its history buffers into checkpoints and
then cannot read them back; onedl-mmengine falls back to running any code that the file
names. Here one short allow-list serves both, and other classes are refused by name.
"""

import argparse
import collections
import functools
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch

from mim_bench.errors import CheckpointError


def allowed_globals() -> list[Any]:
    """The allow-list of classes besides torch's own, for ``add_safe_globals``.

    Returns:
        The classes in mmengine's resume state and in the usual foreign checkpoints:
        history buffers, numpy scalars and arrays, ``argparse.Namespace``.
    """
    from mmengine.logging.history_buffer import HistoryBuffer

    # Only its first instance registers the methods that _history_method looks up, and a
    # process that resumes reads its checkpoint before it makes one.
    HistoryBuffer()
    # numpy 2 renamed the module of these; a file names the module of its writer.
    multiarray = np._core.multiarray if hasattr(np, '_core') else np.core.multiarray
    numpy_functions = [
        (getattr(multiarray, name), f'{home}.multiarray.{name}')
        for home in ('numpy.core', 'numpy._core')
        for name in ('_reconstruct', 'scalar')
    ]
    numpy_dtypes = {type(np.dtype(code)) for code in '?bhilqBHILQefdU'}
    return [
        argparse.Namespace,
        np.ndarray,
        np.dtype,
        *numpy_dtypes,
        *numpy_functions,
        HistoryBuffer,
        # The settings that Swin's and SimMIM's trainers save: a dictionary with attributes.
        (collections.OrderedDict, 'yacs.config.CfgNode'),
        (_history_method, 'builtins.getattr'),
    ]


def _history_method(owner: type, name: str) -> Callable[..., Any]:
    """Replacement of ``getattr``, by which history buffers name their own methods.

    The real one would let a file reach beyond the allow-list.
    """
    from mmengine.logging.history_buffer import HistoryBuffer

    if owner is not HistoryBuffer or name not in HistoryBuffer._statistics_methods:
        raise pickle.UnpicklingError('Unsupported global: GLOBAL builtins.getattr')
    return HistoryBuffer._statistics_methods[name]


def mend(checkpoint: ModuleType) -> None:
    """Patch ``mmengine.runner.checkpoint`` to read resumable files, and only safely.

    Args:
        checkpoint: The module, freshly imported.
    """
    # Before 2.6, torch neither refuses by default nor knows aliases.
    if torch.__version__ < (2, 6):
        return
    torch.serialization.add_safe_globals(allowed_globals())
    if hasattr(checkpoint, '_safe_torch_load'):  # onedl-mmengine
        checkpoint._safe_torch_load = functools.partial(torch.load, weights_only=True)
    checkpoint._load_checkpoint = explained(checkpoint._load_checkpoint)


def explained(load: Callable[..., Any]) -> Callable[..., Any]:
    """Context that turns errors of a damaged or refused file into one message."""

    @functools.wraps(load)
    def wrapper(filename: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
        try:
            return load(filename, *args, **kwargs)
        except pickle.UnpicklingError as error:
            raise CheckpointError(_refusal(filename, error)) from error
        except (ImportError, AttributeError) as error:  # only where any class is allowed
            raise CheckpointError(
                f'{filename}: holds objects of classes that are not installed here '
                f'({_first_sentence(error)}). Where they are, save the weights alone: '
                'torch.save(model.state_dict(), FILE).'
            ) from error
        except Exception as error:
            # A whole file (an archive with its directory at the end) fails for
            # other reasons, such as a full GPU: those keep their error.
            if not os.path.isfile(filename) or zipfile.is_zipfile(filename):
                raise
            raise CheckpointError(
                f'{filename}: this checkpoint is damaged or cut short '
                f'({os.path.getsize(filename)} bytes; {type(error).__name__}: '
                f'{_first_sentence(error)}). '
                'Delete it and go on from an earlier one, or fetch it again.'
            ) from error

    return wrapper


def _refusal(filename: str | os.PathLike, error: pickle.UnpicklingError) -> str:
    named = re.search(r'GLOBAL ([\w.]+)', str(error))
    if named is None:
        return (
            f'{filename}: torch cannot read this checkpoint ({_first_sentence(error)}). '
            'Check the path, or fetch the file again.'
        )
    return (
        f'{filename}: refused, because reading it would run code of {named.group(1)}, '
        'which is not on the allow-list. Save the weights alone (torch.save(model.state_dict(), '
        'FILE)), or convert the file with mim-bench convert --trust, if you trust whoever wrote it.'
    )


def _first_sentence(error: BaseException) -> str:
    return str(error).split('\n')[0].split('. ')[0]
