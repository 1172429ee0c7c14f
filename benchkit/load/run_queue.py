"""How long a process was ready to run while the processor worked for others."""

from __future__ import annotations

import contextlib
import os

UNKNOWN = -1
_SCHEDSTAT = "/proc/self/schedstat"


class RunQueue:
    """The time that the main thread of this process has waited for a processor.

    A count of involuntary context switches tells how often it was sent away, not for how long: a kernel thread is done
    in 0.02 ms, another busy process in 3. Source: Documentation/scheduler/sched-stats.rst of the kernel, second field.
    """

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd: int | None = None
        with contextlib.suppress(OSError):
            self._fd = os.open(_SCHEDSTAT, os.O_RDONLY | os.O_CLOEXEC)

    def waited_ns(self) -> int:
        """Nanoseconds since the process began; ``UNKNOWN`` where the platform does not say."""
        if self._fd is None:
            return UNKNOWN
        try:
            return int(os.pread(self._fd, 80, 0).split()[1])
        except (OSError, ValueError, IndexError):
            return UNKNOWN

    def close(self) -> None:
        """Lets go of the file; afterwards nothing is known."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
