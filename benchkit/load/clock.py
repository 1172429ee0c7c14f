"""Time for a load process: the two clocks' offset and kernel receive times.

What exists on Linux has a fallback elsewhere; ``BENCHKIT_FALLBACKS`` (a comma-separated list
of ``timerfd``, ``kernel_times``, ``epoll``, ``uvloop``, ``realtime``) forces them, so that they can be tested
where they are not needed.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time

SO_TIMESTAMPNS = 35
"""Linux, since 2.6.22, for all its architectures but PA-RISC and SPARC; Python does not name it."""
ANCILLARY_SIZE = 64
TIMESPEC = struct.Struct("@qq") if sys.maxsize > 2**32 else struct.Struct("@ii")
_NANO = 1_000_000_000


def forced_fallbacks() -> frozenset[str]:
    """What ``BENCHKIT_FALLBACKS`` switches off."""
    return frozenset(
        part.strip() for part in os.environ.get("BENCHKIT_FALLBACKS", "").split(",") if part.strip()
    )


def realtime_offset_ns() -> int:
    """CLOCK_REALTIME - CLOCK_MONOTONIC in ns, read so that a preemption between the two cannot spoil it."""
    best_width, best = 1 << 62, 0
    for _ in range(3):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best_width:
            best_width, best = after - before, wall - (before + after) // 2
    return best


def kernel_times_available() -> bool:
    """Whether sockets here can be asked for receive times."""
    return sys.platform == "linux" and TIMESPEC.size == 16 and "kernel_times" not in forced_fallbacks()


def ask_for_kernel_times(sock: socket.socket) -> bool:
    """Switches receive times on; ``False`` where the platform refuses."""
    if not kernel_times_available():
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


class KernelStamping:
    """Keeps the kernel stamping what comes in, for as long as it is open.

    Linux begins some milliseconds after the first socket that asks and ends with the last one: without it the
    first answers, and with a new connection for each request most of them, would have no receive time.
    """

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ask_for_kernel_times(self._sock)

    def close(self) -> None:
        """Lets it end."""
        self._sock.close()
