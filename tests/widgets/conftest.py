"""Panels without a page: what they do is the same, and a test may press their buttons."""

import pytest

from benchkit.widgets import job
from benchkit.widgets.panel import Cockpit

QUICK = {"warmup_s": 0.3, "duration_s": 1.2, "input_tokens": 32, "output_tokens": 8, "concurrency": 4}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own, in which the panel works; and a kernel that is busy with nothing."""
    (tmp_path / "pyproject.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENCHKIT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(job, "_OF_KERNEL", job.Job())
    return tmp_path


@pytest.fixture
async def panel(project):
    """A panel whose run is a quick one."""
    made = Cockpit()
    made.run.form.fill(QUICK)
    yield made
    made.desk.job.stop()
    await made.desk.job.wait()
    for task in list(made.desk._tasks):
        task.cancel()
