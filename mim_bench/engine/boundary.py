"""Turns any error of a library in a run into one message: where, on which images, what to do.

The traceback goes to the log file; ``--debug`` shows it too.
"""

import contextlib
import logging
import re
import signal
import threading
import traceback
from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner

from mim_bench.engine.batch import image_names
from mim_bench.engine.device_errors import explain_device_error
from mim_bench.engine.saving import DISK_ADVICE
from mim_bench.errors import DeviceError, MimBenchError, RunError, first_of
from mim_bench.recipe.config import explain_build_error

# Pattern of a library's message -> what to do. The first that matches counts.
KNOWN = (
    (
        r'Expected more than 1 value per channel when training',
        'BatchNorm behind a pooled map needs two images in every batch of a process. Raise '
        'train_dataloader.batch_size to 2 or more; where only the last batch of an epoch is that '
        'small, set train_dataloader.drop_last=True.',
    ),
    (
        r"No module named 'tensorboard|pip install .*tensorboard",
        'The config logs to TensorBoard, which is not installed: pip install tensorboard, or '
        'remove TensorboardVisBackend from the vis_backends.',
    ),
    (
        r'wandb.*(api.?key|login)|api.?key.*wandb',
        'Weights & Biases does not know you here: `wandb login`, or WANDB_MODE=offline, or leave '
        '--track wandb out.',
    ),
    (
        r"No module named '([\w.]+)'",
        'A class of the config needs this package. Install it with pip.',
    ),
    (
        r'stack expects each tensor to be equal size',
        'The samples of a batch differ in size. Let the pipeline end in a crop or resize to one '
        'size, and look for label maps of another size with `mim-bench data check`.',
    ),
    (
        r'image size in a batch should be the same',
        'mmseg evaluates images of different sizes one by one. Set val_dataloader.batch_size and '
        'test_dataloader.batch_size to 1.',
    ),
    (
        r'selected index k out of range',
        'More ranks are asked for than there are classes. Set topk of the evaluator to no more.',
    ),
    (
        r'insufficient shared memory|Bus error|unable to (mmap|write to file)|'
        r'unable to (open|allocate) shared memory',
        'Loader workers ran out of shared memory. Lower num_workers, or give the container more '
        '(docker run --shm-size=8g).',
    ),
    (
        # The last ones name no file: the worker's end of a pipe or socket is gone.
        r'DataLoader worker .*(killed|exited unexpectedly)|Connection(Reset|Refused)Error|'
        r'BrokenPipeError|EOFError: $|FileNotFoundError: \[Errno 2\] No such file or directory$',
        'A loader worker was killed, most likely for want of memory or of shared memory. Lower '
        'num_workers, or give the container more shared memory (docker run --shm-size=8g).',
    ),
    (
        r'Too many open files|received 0 items of ancdata',
        'Raise the limit of open files (ulimit -n 65536) or lower num_workers.',
    ),
    (
        r"MemoryError|can't allocate memory|Cannot allocate memory",
        'The machine ran out of memory. Lower num_workers or the batch size.',
    ),
    (
        r'Output size is too small|sizes should be greater than 0|'
        r'bound inconsistent with step sign',
        'Resized, a side of the image is shorter than what the network divides it into. Crop the '
        'image, or remove it.',
    ),
    (
        r'num_samples should be a positive integer',
        'The data set holds no image. Check it with `mim-bench data check`.',
    ),
)
_IN_WORKER = re.compile(r'^Caught \w+ in DataLoader worker process \d+\.')
# The last line of a traceback and what follows it: the type and the message.
_LAST = re.compile(
    r'\n(?:[\w.]+\.)?(\w+(?:Error|Exception|Interrupt|Warning)): (?!.*\n  File )(.*)\Z', re.S
)
_IMAGES_SHOWN = 8


class PlaceHook(Hook):
    """Tracks what a run is doing, for error messages.

    Attributes:
        doing: Name of the phase.
        batch: The current batch, as the loader gave it; None between batches.
        batches: Number of batches that an evaluation has done.
    """

    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self.doing = 'preparing the run'
        self.batch: Any = None
        self.batches = 0

    def before_train(self, runner: Runner) -> None:
        """Training begins."""
        self.doing = 'training'

    def before_val(self, runner: Runner) -> None:
        """Validation begins."""
        self.doing = 'validation'

    def before_test(self, runner: Runner) -> None:
        """The test begins."""
        is_probe = hasattr(runner.test_loop, 'bank_dataloader')
        self.doing = 'probing' if is_probe else 'testing'

    def _before_epoch(self, runner: Runner, mode: str = 'train') -> None:
        """Count from 0."""
        self.batches = 0

    def _before_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, mode: str = 'train'
    ) -> None:
        """Store the batch."""
        self.batch = data_batch


class PlaceEndHook(Hook):
    """Tells a :class:`PlaceHook`, after all other hooks, that a batch or a validation is done."""

    priority = 'LOWEST'

    def __init__(self, place: PlaceHook) -> None:
        self.place = place

    def after_val(self, runner: Runner) -> None:
        """Mark that training continues after a validation."""
        self.place.before_train(runner)

    def _after_iter(self, *_: Any, **__: Any) -> None:
        """The batch is done."""
        self.place.batch = None
        self.place.batches += 1


def place_of(runner: Runner | None) -> PlaceHook | None:
    """The hook that knows what a run is doing."""
    return next((h for h in getattr(runner, 'hooks', ()) if isinstance(h, PlaceHook)), None)


@contextlib.contextmanager
def doing(runner: Runner, what: str, batch: Any = None) -> Iterator[None]:
    """Context in which a run does something else; an error keeps the phase, for its message."""
    place = place_of(runner)
    before = place and (place.doing, place.batch)
    if place:
        place.doing, place.batch = what, batch
    yield
    if place:
        place.doing, place.batch = before


@contextlib.contextmanager
def ignoring_dead_workers() -> Iterator[None]:
    """Context in which the death of a loader worker raises nothing.

    When a worker dies, torch's signal handler raises an error wherever this process is. The closed
    pipes of the worker raise another one before that, which is often being reported already.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, 'SIGCHLD'):
        yield
        return
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        # None: a handler set by C code, which Python cannot restore.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL if before is None else before)


def explained_failure(error: BaseException, cfg: Config, runner: Runner | None) -> BaseException:
    """An error as one message; those of this project and of a missing file stay as they are.

    Args:
        error: The error that ended a run.
        cfg: Config of the run.
        runner: None if it could not be built.
    """
    if isinstance(error, MimBenchError):
        return _from_worker(error)
    if isinstance(error, OSError) and error.filename:
        advice = DISK_ADVICE.get(error.errno)
        if advice is None or isinstance(error, FileNotFoundError):
            return error
        return RunError(f'{error.filename}: {error.strerror}. {advice} and run again.')
    _log_traceback(error)
    if (device := _device_error(error, cfg, runner)) is not None:
        return device
    # Later, a wrong argument of a call is no mistake in the config.
    if runner is None or '__init__' in str(error) or 'registry' in str(error):
        explained = isinstance(error, TypeError | KeyError) and explain_build_error(cfg, error)
        if explained:
            return explained
    kind, text = _original(error)
    parts = [f'{cfg.filename}: {_place(runner)}: {kind}: {text.rstrip(".")}.']
    known = f'{kind}: {text}'
    parts += [remedy for pattern, remedy in KNOWN if re.search(pattern, known, re.I)][:1]
    log = _log_file()
    parts.append(f'The traceback is in {log}.' if log else '--debug shows the traceback.')
    return RunError(' '.join(parts))


def _device_error(error: BaseException, cfg: Config, runner: Runner | None) -> DeviceError | None:
    loop = runner._train_loop if runner is not None else None
    iteration = loop.iter if isinstance(loop, BaseLoop) else None
    model = runner.model if runner is not None else None
    return explain_device_error(error, cfg, model=model, iteration=iteration)


def _from_worker(error: BaseException) -> BaseException:
    """An error of this project without the traceback that a loader worker adds to its message."""
    if not _IN_WORKER.match(str(error)):
        return error
    _log_traceback(error)
    return type(error)(_original(error)[1])


@contextlib.contextmanager
def from_workers() -> Iterator[None]:
    """Context that tells an error of a loader worker without the worker's traceback."""
    try:
        yield
    except MimBenchError as error:
        if (told := _from_worker(error)) is error:
            raise
        raise told from error


def _original(error: BaseException) -> tuple[str, str]:
    """Type and message of an error; of the original one if a loader worker passed it on."""
    text = str(error)
    if _IN_WORKER.match(text) and (found := _LAST.search(text)):
        return found[1], found[2].strip()
    return type(error).__name__, ' '.join(text.split()) or 'without a message'


def _place(runner: Runner | None) -> str:
    """Phase, iteration and images."""
    hook = place_of(runner)
    if hook is None:
        return 'building the run'
    place = hook.doing
    if hook.doing in ('training', 'validation'):
        is_next = hook.doing == 'training'  # a validation follows what was counted
        is_by_iter = isinstance(runner.train_loop, IterBasedTrainLoop)
        epoch = '' if is_by_iter else f' of epoch {runner.epoch + is_next}'
        place += f'{"," if is_next else " after"} iteration {runner.iter + is_next}{epoch}'
    loop = {'validation': runner._val_loop, 'testing': runner._test_loop}.get(hook.doing)
    if isinstance(loop, BaseLoop) and hook.batch is None and hook.batches == len(loop.dataloader):
        place += ', after its last batch'
    if hook.batch is not None:
        place += f', images {first_of(image_names(hook.batch), _IMAGES_SHOWN)}'
    return place


def _log_traceback(error: BaseException) -> None:
    """Write it into the log files only: the console shows the message."""
    text = ''.join(traceback.format_exception(error))
    for handler in _file_handlers():
        record = logging.LogRecord('mmengine', logging.ERROR, '', 0, text, None, None)
        with contextlib.suppress(OSError, ValueError):
            handler.emit(record)


def _log_file() -> str | None:
    return next((handler.baseFilename for handler in _file_handlers()), None)


def _file_handlers() -> list[logging.FileHandler]:
    if not MMLogger._instance_dict:
        return []
    handlers = MMLogger.get_current_instance().handlers
    return [handler for handler in handlers if isinstance(handler, logging.FileHandler)]
