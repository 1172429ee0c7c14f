"""Which machine and software a run was measured with: a registry of facts, each best effort."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchkit import __version__
from benchkit.records.project import project_root

__all__ = ["FACTS", "Fact", "collect", "comparable_keys", "differences"]

_CLIENT_PACKAGES = ("httptools", "httpx", "uvloop")
_PACKAGES = ("numpy", "orjson", "pandas", "pyarrow", "scipy", "vllm")
_GIT_TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know about where a run was measured."""

    read: Callable[[], Any]
    """Gives the value as JSON; None, or any error, when it cannot be known here."""
    description: str
    unit: str = ""
    comparable: bool = False
    """Whether two runs must agree in it before their numbers may be laid side by side."""


FACTS: dict[str, Fact] = {}
"""All facts by name, in the order in which they are shown."""


def _fact(
    description: str, *, unit: str = "", comparable: bool = False
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    def register(read: Callable[[], Any]) -> Callable[[], Any]:
        FACTS[read.__name__.removeprefix("_")] = Fact(read, description, unit, comparable)
        return read

    return register


def collect() -> dict[str, Any]:
    """Give all facts that can be known here, by name; no secrets, no user and no host name among them.

    A fact that cannot be read is null: no run fails for a missing file of the system.
    """
    values: dict[str, Any] = {}
    for name, fact in FACTS.items():
        values[name] = None
        with contextlib.suppress(Exception):
            values[name] = fact.read()
    return values


def comparable_keys() -> list[str]:
    """Give the facts in which two runs must agree before they may be compared."""
    return [name for name, fact in FACTS.items() if fact.comparable]


def differences(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Give the comparable facts in which two environments differ, with both values."""
    pairs = {name: (first.get(name), second.get(name)) for name in comparable_keys()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


@_fact("version of benchkit", comparable=True)
def _benchkit() -> str:
    return __version__


@_fact("commit of the project's checkout, with '+' when files differ from it")
def _git_commit() -> str | None:
    root = project_root()
    head = _git(root, "rev-parse", "--short=12", "HEAD")
    if not head:
        return None
    return f"{head}+" if _git(root, "status", "--porcelain", "--untracked-files=no") else head


def _git(root: Path, *arguments: str) -> str | None:
    result = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        timeout=_GIT_TIMEOUT_S,
        check=False,
        env={"PATH": os.environ.get("PATH", os.defpath), "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
    )
    return result.stdout.strip() if result.returncode == 0 else None


@_fact("Python's implementation and version", comparable=True)
def _python() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


@_fact("versions of the packages that send and receive", comparable=True)
def _client_packages() -> dict[str, str]:
    return _versions(_CLIENT_PACKAGES)


@_fact("versions of the packages that store and compute")
def _packages() -> dict[str, str]:
    return _versions(_PACKAGES)


def _versions(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@_fact("operating system", comparable=True)
def _os() -> str:
    release: dict[str, str] = {}
    with contextlib.suppress(OSError):
        release = platform.freedesktop_os_release()
    return release.get("PRETTY_NAME") or f"{platform.system()} {platform.release()}"


@_fact("kernel's name, release and machine", comparable=True)
def _kernel() -> str:
    return f"{platform.system()} {platform.release()} {platform.machine()}"


@_fact("model of the processor", comparable=True)
def _cpu_model() -> str | None:
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"^(?:model name|Model|cpu model)\s*:\s*(.+)$", text, re.MULTILINE):
            return found[1].strip()
    return platform.processor() or None


@_fact("logical processors of the machine", comparable=True)
def _cpu_count() -> int | None:
    return os.cpu_count()


@_fact("processors that this process may use", comparable=True)
def _cpu_affinity() -> list[int] | None:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


@_fact("processors' worth of time that the control group allows; null for no limit", comparable=True)
def _cpu_quota() -> float | None:
    quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
    return None if quota == "max" else int(quota) / int(period)


@_fact("frequency governors of the processors", comparable=True)
def _cpu_governor() -> list[str] | None:
    files = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return sorted({file.read_text(encoding="ascii").strip() for file in files}) or None


@_fact("memory of the machine", unit="bytes", comparable=True)
def _memory_total() -> int:
    return int(psutil.virtual_memory().total)


@_fact("memory that was free for use when the run began", unit="bytes")
def _memory_available() -> int:
    return int(psutil.virtual_memory().available)


@_fact("processes that wanted to run over the last 1, 5 and 15 minutes", unit="processes")
def _load_average() -> list[float]:
    return [round(value, 2) for value in os.getloadavg()]


@_fact("source of the kernel's clock", comparable=True)
def _clock_source() -> str:
    path = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    return path.read_text(encoding="ascii").strip()


@_fact("resolution of the monotonic clock", unit="ns")
def _clock_resolution() -> int:
    return round(time.get_clock_info("monotonic").resolution * 1e9)


@_fact("container or virtual machine, as far as it shows", comparable=True)
def _container() -> str | None:
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    with contextlib.suppress(OSError):
        groups = Path("/proc/1/cgroup").read_text(encoding="utf-8", errors="replace")
        if found := re.search(r"docker|kubepods|libpod|lxc", groups):
            return found[0]
    with contextlib.suppress(OSError):
        if "hypervisor" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"):
            return "virtual machine"
    return None


@_fact("limit of open files, soft and hard")
def _open_files() -> list[int]:
    import resource

    return list(resource.getrlimit(resource.RLIMIT_NOFILE))


@_fact("where the code runs: notebook, papermill, or script")
def _front_end() -> str:
    if "ipykernel" not in sys.modules:
        return "script"
    return "notebook" if "JPY_SESSION_NAME" in os.environ else "papermill"


@_fact("GPUs of this machine with their memory in bytes, and the driver", comparable=True)
@functools.cache
def _gpus() -> dict[str, Any] | None:
    try:
        import pynvml
    except ImportError:
        return None
    pynvml.nvmlInit()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        cards = [
            {
                "name": _text(pynvml.nvmlDeviceGetName(handle)),
                "memory": int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
            }
            for handle in handles
        ]
        return {"driver": _text(pynvml.nvmlSystemGetDriverVersion()), "cards": cards}
    finally:
        pynvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
