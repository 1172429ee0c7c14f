"""The exceptions that benchkit raises.

::

    BenchkitError
    ├── ParameterError            exit code 2: what was asked for makes no sense
    │   ├── UnknownParameter
    │   ├── InvalidParameter
    │   ├── ParameterConflict
    │   ├── ObjectiveSyntaxError
    │   └── UnlikeRuns
    ├── TargetError               exit code 1: the server that is measured
    │   ├── Unreachable
    │   ├── Unauthorized
    │   ├── UnknownModel
    │   └── UnexpectedAnswer
    ├── PreflightFailed           exit code 1: a run against it would be senseless
    ├── ServerError               exit code 1: a server that benchkit starts
    │   ├── ServerStartError
    │   └── ServerNotFound
    ├── LoadError                 exit code 1: the processes that send and record
    │   ├── WorkerDied
    │   ├── TranscriptionFailed
    │   ├── OutOfDescriptors
    │   └── DiskFull
    ├── RecordError               exit code 1: a run's folder
    │   ├── RunNotFound
    │   ├── RunActive
    │   ├── SchemaMismatch
    │   └── ForeignFileError
    ├── CalibrationError          exit code 1: runs that do not suffice to make a twin of a server
    ├── SweepFailed               exit code 1: points of a sweep that failed, or that do not tell which to measure next
    └── ReportError               exit code 1: a notebook or a report could not be made
"""

from __future__ import annotations

from typing import ClassVar


class BenchkitError(Exception):
    """Base of everything that benchkit raises on purpose; its text is written for the user."""

    exit_code: ClassVar[int] = 1


class ParameterError(BenchkitError):
    """A parameter is unknown, of the wrong type, or at odds with another one."""

    exit_code: ClassVar[int] = 2


class UnknownParameter(ParameterError):
    """A name that the vocabulary does not have."""


class InvalidParameter(ParameterError):
    """A value of the wrong type or out of its range."""


class ParameterConflict(ParameterError):
    """Values that are fine alone and impossible together."""


class ObjectiveSyntaxError(ParameterError):
    """A service-level objective that does not parse."""


class UnlikeRuns(ParameterError):
    """Runs that are not to be laid side by side: they differ in more than what is compared."""


class TargetError(BenchkitError):
    """The server under test did not do what a control call asked of it."""


class Unreachable(TargetError):
    """Nothing answers at the address."""


class Unauthorized(TargetError):
    """The server wants a key, or another one."""


class UnknownModel(TargetError):
    """The server does not serve the model that was named."""


class UnexpectedAnswer(TargetError):
    """The server answered with something that is not the API."""


class PreflightFailed(BenchkitError):
    """The check before the load found that a run would measure nothing."""


class ServerError(BenchkitError):
    """A server process that benchkit manages."""


class ServerStartError(ServerError):
    """The server died or did not become healthy; the text holds its log's tail."""


class ServerNotFound(ServerError):
    """No managed server goes by that name, port or process id."""


class CalibrationError(BenchkitError):
    """What was measured does not tell how the server behaves."""


class SweepFailed(BenchkitError):
    """A sweep could not go on; the points that it has measured are kept, and it can be resumed."""


class LoadError(BenchkitError):
    """A process that sends or records the load failed."""


class WorkerDied(LoadError):
    """A load process ended before its work was done; what it measured is kept."""


class TranscriptionFailed(LoadError):
    """The tape could not be turned into records; it is kept, and ``benchkit recover`` can try again."""


class OutOfDescriptors(LoadError):
    """The limit of open files or of local ports is below what the load needs."""


class DiskFull(LoadError):
    """The disk took no more; what was measured until then is kept."""


class RecordError(BenchkitError):
    """A run's folder could not be read or written."""


class RunNotFound(RecordError):
    """No run lies at that path."""


class RunActive(RecordError):
    """The run's processes are still alive."""


class SchemaMismatch(RecordError):
    """The files were written by another version of the format."""


class ForeignFileError(RecordError):
    """A file of another tool, or a points table, is damaged or not of a kind that is known."""


class ReportError(BenchkitError):
    """A notebook failed or could not be turned into a report."""
