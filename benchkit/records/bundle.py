"""A bundle's file: a zip with the checksums of all that is in it, the same bytes for the same content, read warily."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final, NamedTuple

from benchkit.errors import RecordError
from benchkit.records.atomic import atomic_path

__all__ = ["CHECKSUMS", "MOST_BYTES", "Unlike", "extract", "unlike", "write"]

CHECKSUMS: Final = "checksums.sha256"
"""A line a file, as ``sha256sum`` writes and checks them."""
MOST_BYTES: Final = 16 * 1024**3
"""What a bundle may hold, unpacked."""

_TIME: Final = (1980, 1, 1, 0, 0, 0)
_PACKED_ALREADY: Final = (".parquet", ".png", ".pdf")
_DEPTH: Final = 3
_MOST_FILES: Final = 100_000
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\\\\:*?\"<>|]")
_LINE: Final = re.compile(r"([0-9a-f]{64}) [ *](.+)")


class Unlike(NamedTuple):
    """A file of a bundle that is not what its checksum says."""

    name: str
    what: str
    """``changed``, ``missing``, or ``not listed``."""


def write(out: Path, files: Mapping[str, Path | bytes]) -> None:
    """Writes a bundle, in one step: its files by name and their checksums.

    The bytes depend on names and contents alone: files stand in order, and have no times and no owners.

    Args:
        out: the zip.
        files: the content of each, or where it lies, by its name in the bundle, with slashes.

    Raises:
        RecordError: a name that ``extract`` would refuse.
    """
    _refuse_unsafe(list(files))
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as bundle:
        sums = {name: _add(bundle, name, files[name]) for name in sorted(files)}
        lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
        _add(bundle, CHECKSUMS, lines.encode())


def _add(bundle: zipfile.ZipFile, name: str, content: Path | bytes) -> str:
    """Adds a file and gives the SHA-256 of what was added."""
    entry = zipfile.ZipInfo(name, _TIME)
    entry.create_system = 3
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.compress_type = zipfile.ZIP_STORED if name.endswith(_PACKED_ALREADY) else zipfile.ZIP_DEFLATED
    if isinstance(content, bytes):
        bundle.writestr(entry, content)
        return hashlib.sha256(content).hexdigest()
    entry.file_size = content.stat().st_size
    digest = hashlib.sha256()
    with content.open("rb") as source, bundle.open(entry, "w") as target:
        while block := source.read(1 << 20):
            digest.update(block)
            target.write(block)
    return digest.hexdigest()


def extract(file: Path, into: Path) -> list[str]:
    """Unpacks a bundle into an empty folder and gives the names of its files.

    Nothing is written before every name is known to stay inside: no absolute ones, no ``..``, no links, no drives,
    none twice.

    Raises:
        RecordError: it is no zip, damaged, too large, or holds a name that is refused.
    """
    try:
        with zipfile.ZipFile(file) as bundle:
            entries = bundle.infolist()
            _refuse_unsafe([entry.orig_filename for entry in entries])
            for entry in entries:
                _refuse_kind(entry)
            total = sum(entry.file_size for entry in entries)
            if total > MOST_BYTES:
                raise RecordError(
                    f"{file} would unpack to {total:,} bytes, more than the {MOST_BYTES:,} allowed"
                )
            for entry in entries:
                target = into / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with bundle.open(entry) as source:
                    _copy(source, target)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise RecordError(f"{file} is no bundle, or is damaged: {error}") from error
    except FileNotFoundError:
        raise RecordError(f"there is no file {file}") from None
    return [entry.filename for entry in entries]


def _copy(source: IO[bytes], target: Path) -> None:
    with target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def unlike(folder: Path, names: list[str]) -> list[Unlike]:
    """The files of an unpacked bundle that are not what its checksums say; empty when all are.

    Raises:
        RecordError: it has no checksums, or they cannot be read.
    """
    try:
        text = (folder / CHECKSUMS).read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        raise RecordError(f"this is no bundle: it has no {CHECKSUMS}") from None
    told: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise RecordError(f"{CHECKSUMS} is damaged: {line[:100]!r}")
        told[match[2]] = match[1]
    there = {name for name in names if name != CHECKSUMS}
    found = [Unlike(name, "missing") for name in told if name not in there]
    found += [Unlike(name, "not listed") for name in sorted(there) if name not in told]
    for name in sorted(there & set(told)):
        with (folder / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != told[name]:
                found.append(Unlike(name, "changed"))
    return found


def _refuse_unsafe(names: list[str]) -> None:
    if len(names) > _MOST_FILES:
        raise RecordError(f"a bundle has at most {_MOST_FILES:,} files, not {len(names):,}")
    seen: set[str] = set()
    for name in names:
        parts = name.split("/")
        # Neither `..` nor what Windows would shorten to something else.
        if _UNSAFE.search(name) or len(parts) > _DEPTH or any(not part or part[-1] in " ." for part in parts):
            raise RecordError(f"a bundle may not hold a file named {name!r}")
        # Some file systems know no difference between capitals and others.
        if name.casefold() in seen:
            raise RecordError(f"a bundle may not hold {name!r} twice")
        seen.add(name.casefold())


def _refuse_kind(entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if entry.flag_bits & 0x1 or (kind and kind != stat.S_IFREG):
        raise RecordError(f"a bundle holds plain files only, and {entry.filename!r} is none")
