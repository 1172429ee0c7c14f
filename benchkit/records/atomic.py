"""Writes files that are either whole or absent, and keeps a little disk in reserve for the end of a run."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

__all__ = ["RESERVE_BYTES", "Reserve", "atomic_path", "atomic_write", "is_disk_full"]

T = TypeVar("T")

RESERVE_BYTES = 16 * 1024 * 1024
"""Enough for a summary, a manifest and a telemetry table."""

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_disk_full(error: BaseException) -> bool:
    """Tell whether an error means that the disk, the quota or the file-size limit is exhausted."""
    return isinstance(error, OSError) and error.errno in _DISK_FULL


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a path to write to; it takes the place of ``path`` when the block ends without an error.

    The data reach the disk before the name does. After an error nothing is left behind, and a file that was
    there before is untouched. Processes that write the same path do not disturb each other.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader, or a crash, meets the old content or the new and never a part."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network and overlay file systems cannot sync a folder; the rename is all that they offer.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)


class Reserve:
    """A preallocated file in a run's folder whose space is given back when the disk is full.

    A run that meets a full disk can then still write what it has measured.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / ".reserve"

    def take(self, size: int = RESERVE_BYTES) -> None:
        """Occupy the space.

        Raises:
            OSError: There is not so much left.
        """
        try:
            with self.path.open("wb") as file:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    for _ in range(size // 65536):
                        file.write(bytes(65536))
        except OSError:
            self.release()
            raise

    def release(self) -> bool:
        """Give the space back; False when it was not held."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    def spend_if_full(self, write: Callable[[], T]) -> T:
        """Give what ``write`` gives; when the disk is full, give back the space and try once more.

        Raises:
            OSError: It fails all the same, or for another reason.
        """
        try:
            return write()
        except OSError as error:
            if not is_disk_full(error) or not self.release():
                raise
        return write()
