"""Compiles the C programs of this folder, once per version of their source."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")


class NoCompilerError(RuntimeError):
    """There is no C compiler on this machine: what needs one is to be skipped with this reason."""


def compiled(name: str) -> Path:
    """The executable of `<name>.c` beside this file, compiled if this version of the source was not yet.

    Raises:
        NoCompilerError: no `cc` on the PATH (`$CC` names another one).
        subprocess.CalledProcessError: the compiler refused the source; its messages are on stderr.
    """
    source = Path(__file__).with_name(f"{name}.c")
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompilerError(f"no C compiler to build {source.name} with: install cc or name one in CC")
    version = hashlib.sha256(" ".join((compiler, *FLAGS)).encode() + source.read_bytes()).hexdigest()[:16]
    cache = Path(tempfile.gettempdir()) / f"benchkit-compiled-{os.getuid()}"
    cache.mkdir(mode=0o700, exist_ok=True)
    if cache.stat().st_uid != os.getuid():
        raise PermissionError(f"{cache} belongs to another user: remove it or set TMPDIR")
    program = cache / f"{name}-{version}"
    if not program.exists():
        # A rename, so that two test processes never run a half-written executable.
        part = program.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, *FLAGS, str(source), "-o", str(part)], check=True, timeout=120)
        part.replace(program)
    return program
