"""What all tests share: the embedded server, and the rule that nothing is skipped where all is installed."""

import os
import shutil
from collections.abc import Iterator

import pytest

from benchkit import serving
from benchkit.serving.process import ServerProcess

CHROMIUM = shutil.which("chromium")
VLLM_PYTHON = os.environ.get("BENCHKIT_VLLM_PYTHON")
_ALL_INSTALLED = os.environ.get("BENCHKIT_CI") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips what needs more than a newcomer's machine has, and says what."""
    missing = {
        "chromium": None if CHROMIUM else "needs Chromium (Debian: apt install chromium)",
        "vllm": None
        if VLLM_PYTHON
        else "needs BENCHKIT_VLLM_PYTHON, a Python that has vLLM (see .ci/vllm.sh)",
        "root": None if os.geteuid() == 0 else "needs root",
    }
    for item in items:
        for name, reason in missing.items():
            if reason and item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where all is installed, a skip is a failure: a test that never runs proves nothing."""
    report = yield
    if _ALL_INSTALLED and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, though BENCHKIT_CI says that all is installed: {reason}"
    return report


@pytest.fixture(scope="session")
def embedded() -> Iterator[ServerProcess]:
    """The embedded server, fast: first token after 20 ms, then one every 2 ms."""
    with serving.start(preset="fixed", server_args={"ttft_ms": 20, "gap_ms": 2}) as server:
        yield server
