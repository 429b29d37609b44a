"""Errors that a user can cause. Each message says what is wrong, where, and what to do.

The commands print the message without a traceback (``--debug`` shows it) and
exit with status 1. Programming errors are not wrapped: they keep their type.
"""

import difflib
from collections.abc import Collection, Iterable
from itertools import islice


class MimBenchError(Exception):
    """Base of every error that a user, a file or a machine can cause.

    Attributes:
        exit_status: Exit status of a command that ends with it.
    """

    exit_status = 1


class ConfigError(MimBenchError):
    """A config, a protocol or an argument is invalid."""


class DataError(MimBenchError):
    """A data set is missing, incomplete or has invalid content."""


class CheckpointError(MimBenchError):
    """A checkpoint cannot be read, is refused, or does not fit the model."""


class ConversionError(CheckpointError):
    """A foreign checkpoint has keys or shapes that its source's rules do not know."""


class RecordError(MimBenchError):
    """A run's record is damaged or breaks the record schema."""


class ResultError(MimBenchError):
    """A run has no valid primary metric of its task."""


class StackError(MimBenchError):
    """The installed libraries are missing, mixed or too old."""


class OperatorUnavailableError(StackError):
    """A compiled operator was called that only a compiled ``mmcv._ext`` has."""


class TrainingError(MimBenchError):
    """A run cannot go on, for example because its loss is not finite."""


class DeviceError(TrainingError):
    """A GPU failed, or the connection between the processes of a run."""


class OutOfMemoryError(DeviceError):
    """A device or a machine had not enough memory, and would not have it again."""


class RunInterrupted(MimBenchError):  # noqa: N818  nothing is wrong
    """A run was asked to end, has saved what it can and wants to be started again."""

    exit_status = 75  # EX_TEMPFAIL of sysexits.h


class RunError(MimBenchError):
    """A library failed in the middle of a run; the log has its traceback."""


def did_you_mean(word: str, known: Iterable[object], n: int = 1) -> str:
    """Names of ``known`` that a message suggests for an unknown word; '' if none is similar."""
    found = difflib.get_close_matches(word, [str(name) for name in known], n=n)
    return f' Did you mean {" or ".join(map(repr, found))}?' if found else ''


def first_of(texts: Collection[object], most: int, separator: str = ', ') -> str:
    """The first of some texts for a message, and how many there are more."""
    shown = separator.join(map(str, islice(texts, most)))
    return shown + (f' and {len(texts) - most} more' if len(texts) > most else '')
