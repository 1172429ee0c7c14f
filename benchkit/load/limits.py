"""What this machine allows: open files and local ports, raised where it may be, refused before any load where not."""

from __future__ import annotations

import contextlib
import resource
from pathlib import Path

from benchkit.errors import OutOfDescriptors

_SPARE_DESCRIPTORS = 64
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def raise_descriptor_limit(needed: int) -> int:
    """Raises the soft limit of open files as far as needed and allowed.

    Args:
        needed: connections at a time.

    Returns:
        The limit now in force.

    Raises:
        OutOfDescriptors: the hard limit is too low.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = needed + _SPARE_DESCRIPTORS
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise OutOfDescriptors(
            f"{needed} connections need {wanted} open files and the hard limit is {hard}: raise it "
            f"(ulimit -Hn {wanted}), use more `workers`, or a lower `concurrency` or `max_in_flight`"
        )
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft


def check_ports(needed: int) -> int | None:
    """Checks that so many connections to one address can be open at a time.

    Args:
        needed: connections at a time, over all workers.

    Returns:
        The number of local ports, ``None`` where the system does not tell.

    Raises:
        OutOfDescriptors: there are fewer local ports.
    """
    with contextlib.suppress(OSError, ValueError):
        first, last = map(int, _PORT_RANGE.read_text(encoding="ascii").split())
        if needed > last - first + 1:
            raise OutOfDescriptors(
                f"{needed} connections need as many local ports and there are {last - first + 1}: widen the range "
                "(sysctl net.ipv4.ip_local_port_range), or lower `concurrency` or `max_in_flight`"
            )
        return last - first + 1
    return None
