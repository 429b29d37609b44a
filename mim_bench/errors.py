"""The errors that a user can cause, each one message: what is wrong, where, what to do.

The commands print the message without a traceback (``--debug`` shows it) and
exit with status 1. Programming errors are not wrapped: they keep their type.
"""


class MimBenchError(Exception):
    """Base of every error that a user, a file or a machine can cause."""


class ConfigError(MimBenchError):
    """A config, a protocol or an argument does not make sense."""


class DataError(MimBenchError):
    """A dataset is missing, incomplete or holds what it must not."""


class CheckpointError(MimBenchError):
    """A checkpoint cannot be read, is refused, or does not fit the model."""


class ConversionError(CheckpointError):
    """A foreign checkpoint has keys or shapes that its source's rules do not know."""


class RecordError(MimBenchError):
    """A run's record is damaged or breaks the record schema."""


class ResultError(MimBenchError):
    """A run measured nothing by which its task can be ranked."""


class StackError(MimBenchError):
    """The installed libraries are missing, mixed or too old."""


class OperatorUnavailableError(StackError):
    """A compiled operator was called that only a compiled ``mmcv._ext`` has."""


class TrainingError(MimBenchError):
    """A run cannot go on, for example because its loss is not finite."""


class RunError(MimBenchError):
    """A library failed in the middle of a run; the log has its traceback."""
