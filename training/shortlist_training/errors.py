"""What can go wrong in training. Each class says whose fault it is; the CLI turns the class into an exit code."""


class TrainingError(Exception):
    """Base of all expected failures. The message is one line that says what to do next. Exit code 1."""

    exit_code = 1


class ConfigError(TrainingError):
    """The project file's fault: an unknown key, a wrong value, or a column that is not there. Exit code 2."""

    exit_code = 2


class MissingStepError(TrainingError):
    """The caller's fault: a step was asked for before the step that makes its input. Exit code 2."""

    exit_code = 2


class DataError(TrainingError):
    """The data's fault: a missing or unreadable file, an unmapped value, or nothing left to learn from. Exit code 3."""

    exit_code = 3


class ServerError(TrainingError):
    """The server's fault, or its address's: it cannot be reached, refuses, or serves another bundle. Exit code 1."""


class ExportError(TrainingError):
    """Our fault: the exported graph and the trained model disagree. Nothing was published. Exit code 1."""
