"""Errors that a user can cause. Each message says what is wrong, where, and what to do.

The commands print the message without a traceback (``--debug`` shows it) and
exit with status 1. Programming errors are not wrapped: they keep their type.
"""


class MimBenchError(Exception):
    """Base of every error that a user, a file or a machine can cause."""


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


class RunError(MimBenchError):
    """A library failed in the middle of a run; the log has its traceback."""
