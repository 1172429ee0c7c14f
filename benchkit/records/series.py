"""A folder of runs with one question: a JSON file ties them together, and they lie inside it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchkit import __version__
from benchkit.errors import RecordError, RunNotFound, SchemaMismatch
from benchkit.records import manifest as manifests
from benchkit.records import processes
from benchkit.records.atomic import atomic_write

FORMAT_VERSION = 1
_SLUG = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Series:
    """A kind of such folders."""

    kind: str
    """What it is called; its plural has an s."""
    file_name: str
    listed: str
    """The list of its runs, by which its file is known."""

    def create(
        self, out: Path, name: str, parameters: Mapping[str, Any], parameters_hash: str, **more: Any
    ) -> Path:
        """Make the folder of a new one, ``<UTC time>-<name>-<6 of the hash>``, with its file.

        Args:
            out: the folder that holds run folders and these.
            name: as asked for; the kind where it is empty.
            parameters: all resolved parameters.
            parameters_hash: their hash.
            more: further entries of the file.
        """
        now = datetime.now(UTC)
        slug = _SLUG.sub("-", name).strip("-.")[:60] or self.kind
        base = f"{now:%Y%m%dT%H%M%SZ}-{slug}-{parameters_hash[:6]}"
        out.mkdir(parents=True, exist_ok=True)
        count = 1
        while True:
            path = out / (base if count == 1 else f"{base}-{count}")
            try:
                path.mkdir()
                break
            except FileExistsError:
                count += 1
        told = {
            "schema": FORMAT_VERSION,
            "kind": self.kind,
            "benchkit_version": __version__,
            "name": name,
            "status": "running",
            "created": now.isoformat(timespec="milliseconds"),
            "parameters": dict(parameters),
            "parameters_hash": parameters_hash,
            **more,
            self.listed: [],
            "notes": [],
        }
        self.write(path, told)
        return path

    def write(self, folder: Path, told: Mapping[str, Any]) -> None:
        """Write the file without secrets and without absolute paths, in one step."""
        text = json.dumps(manifests.clean(told), indent=2, ensure_ascii=False, allow_nan=False)
        atomic_write(folder / self.file_name, text + "\n")

    def read(self, folder: Path) -> dict[str, Any]:
        """Give what the file says.

        Raises:
            RunNotFound: there is none.
            RecordError: it is damaged.
            SchemaMismatch: a later version of benchkit wrote it.
        """
        file = folder / self.file_name
        try:
            told = json.loads(file.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise RunNotFound(f"{folder} holds no {self.kind}: there is no {self.file_name} in it") from None
        except ValueError as error:
            raise RecordError(f"{file} is damaged: {error}") from error
        if not isinstance(told, dict) or not isinstance(told.get(self.listed), list):
            raise RecordError(f"{file} is damaged: it is not the record of a {self.kind}")
        if not isinstance(told.get("schema"), int) or told["schema"] > FORMAT_VERSION:
            raise SchemaMismatch(
                f"{file} was written by a later version of benchkit ({told.get('benchkit_version')}): use that one"
            )
        return told

    def is_one(self, folder: Path) -> bool:
        """Tell whether a folder is one."""
        return (folder / self.file_name).is_file()

    def list(self, out: Path) -> list[Path]:
        """Give those in a folder, oldest first."""
        return sorted(path for path in out.iterdir() if self.is_one(path)) if out.is_dir() else []

    def find(self, path_or_prefix: str | Path, out: Path) -> Path:
        """Give the one at a path, or the one in ``out`` whose name begins with the text; ``latest`` is the newest.

        Raises:
            RunNotFound: there is none, or more than one.
        """
        direct = Path(path_or_prefix).expanduser()
        if self.is_one(direct):
            return direct
        all_, text = self.list(out), str(path_or_prefix)
        if text == "latest" and all_:
            return all_[-1]
        found = [path for path in all_ if path.name.startswith(text)] if text else []
        if len(found) == 1:
            return found[0]
        many = (
            f"{len(found)} {self.kind}s fit"
            if found
            else f"{out} holds {len(all_)} {self.kind}s, none of that name"
        )
        raise RunNotFound(f"no {self.kind} at {text!r}: {many}")

    def unfinished(self, out: Path, parameters_hash: str) -> Path | None:
        """Give the newest of these parameters that did not come to its end and that nobody works on.

        A damaged one is passed over.
        """
        for path in reversed(self.list(out)):
            try:
                told = self.read(path)
            except RecordError:
                continue
            same = told.get("parameters_hash") == parameters_hash
            if same and told.get("status") != "complete" and not processes.is_running(path):
                return path
        return None
