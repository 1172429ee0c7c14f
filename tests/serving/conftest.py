"""A state folder of their own for the servers of these tests, and one embedded server that they share."""

import pytest

from benchkit.serving import simulated


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("servers")
    patch.setenv("BENCHKIT_STATE_DIR", str(folder))
    yield folder
    patch.undo()


@pytest.fixture(scope="session")
def server(state_folder):
    with simulated.start(
        server_args={"ttft_ms": 20, "gap_ms": 5, "max_model_len": 2048, "mean_answer_tokens": 20}
    ) as started:
        yield started
