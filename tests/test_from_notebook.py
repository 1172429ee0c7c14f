"""Reading a notebook's parameters in a real IPython, as Lab runs it, and under papermill."""

import atexit

import nbformat
import papermill
import pytest
from IPython.core.interactiveshell import InteractiveShell
from papermill.exceptions import PapermillExecutionError

from benchkit.errors import InvalidParameter, ParameterConflict, UnknownParameter
from benchkit.parameters import RunParameters, ServingParameters, from_notebook, resolve

CELL = 'load = "constant"\nrate = 2.0  # arrivals per second\nduration_s: float = 10\nslo: list = []'
READ = "p = from_notebook(globals())"


class _Lab:
    """A kernel's shell: cells run one after another, errors come out."""

    def __init__(self):
        self.shell = InteractiveShell()
        self.shell.history_manager.enabled = False
        self.run("from benchkit.parameters import from_notebook, ServingParameters")

    def run(self, *cells):
        for cell in cells:
            result = self.shell.run_cell(cell, store_history=True)
            result.raise_error()

    def read(self):
        self.run(READ)
        return self.shell.user_ns["p"]


@pytest.fixture
def lab(monkeypatch, tmp_path):
    """A fresh shell whose history stays off the disk."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    lab = _Lab()
    yield lab
    lab.shell.atexit_operations()
    atexit.unregister(lab.shell.atexit_operations)


def test_cell_alone(lab):
    """The parameters cell gives its values, defaults stand for the rest."""
    lab.run("import math\nfrom pathlib import Path", CELL)
    assert lab.read() == resolve({"load": "constant", "rate": 2.0, "duration_s": 10})


def test_stray_variables_are_no_error(lab):
    """The user's own variables, before and after, are nobody's business."""
    lab.run(
        "x = 1\ny = 'two'",
        CELL,
        "results = {}\nbest = None",
        "for i in range(3):\n    rats = i",
        "my_rate = rate * 2",
        "def helper():\n    reqest_rate = 9\n",
        "model = object()",  # work, not a parameter
        "seed = len('abc')",
    )
    assert lab.read() == resolve({"load": "constant", "rate": 2.0, "duration_s": 10})


def test_editing_the_cell_twice(lab):
    """A cell that was edited and run again counts in its last version, also for lines that are gone."""
    lab.run(CELL)
    lab.read()
    lab.run(CELL.replace("2.0", "3.0"))
    assert lab.read().rate == 3.0
    lab.run('load = "poisson"\nrate = 4.0\nslo = ["p99 ttft < 1s"]')
    assert lab.read() == resolve({"load": "poisson", "rate": 4.0, "slo": ["p99 ttft < 1s"]})


def test_mending_a_mistyped_name(lab):
    """A mistyped name is refused with the nearest, and forgotten once the cell is mended and run again."""
    lab.run(CELL.replace("rate =", "reqest_rate ="))
    with pytest.raises(UnknownParameter, match="did you mean 'rate'"):
        lab.read()
    lab.run(CELL)
    assert lab.read().rate == 2.0


def test_a_later_cell_wins(lab):
    """A parameter tried in a cell of its own further down counts, known to the first cell or not."""
    lab.run(CELL, "rate = 20", "burstiness = 2.0\nload = 'gamma'")
    p = lab.read()
    assert (p.load, p.rate, p.burstiness, p.duration_s) == ("gamma", 20.0, 2.0, 10.0)


def test_a_parameter_beside_a_note(lab):
    """A cell of the user's that sets a parameter beside something of his own sets the parameter."""
    lab.run(CELL, "rate = 20\nnote = 'try more'")
    assert lab.read().rate == 20.0


def test_rerunning_the_reading_cell(lab):
    """The reading cell can run as often as one likes, its own result is no parameter."""
    lab.run(CELL)
    assert lab.read() == lab.read()


def test_a_notebook_that_was_executed_by_papermill(lab):
    """In an executed notebook opened in Lab the injected cell is there to be edited, and wins."""
    lab.run(CELL, "# Parameters\nrate = 8\n")
    assert lab.read().rate == 8.0
    lab.run("# Parameters\nrate = 9\n")
    assert lab.read().rate == 9.0
    lab.run("# Parameters\nrats = 9\n")
    with pytest.raises(UnknownParameter, match="'rats'"):
        lab.read()


def test_magics_and_broken_cells(lab):
    """Magics, cells that do not parse and shell lines are passed over."""
    lab.run("%precision 3", CELL, "%%capture\nzzz = 1")
    lab.shell.run_cell("rate = = 3", store_history=True)
    assert lab.read().rate == 2.0


def test_values_that_are_computed(lab):
    """A cell may compute its values."""
    lab.run("base = 4", CELL.replace("2.0", "2 * base"))
    assert lab.read().rate == 8.0
    lab.run(CELL.replace("2.0", "float('5')"))
    assert lab.read().rate == 5.0


def test_cell_that_also_prints(lab):
    """A parameters cell to which someone added a line still counts, with its typing errors."""
    lab.run(CELL + "\nprint(rate)\nrats = 3")
    with pytest.raises(UnknownParameter, match="'rats'"):
        lab.read()


def test_cell_that_was_not_run(lab):
    """Without a parameters cell nothing is guessed."""
    lab.run("x = 1")
    with pytest.raises(InvalidParameter, match="no parameters cell of run_benchmark has run yet"):
        lab.read()


def test_wrong_values(lab):
    """Values are checked as strictly as anywhere."""
    lab.run(CELL.replace("2.0", "'abc'"))
    with pytest.raises(InvalidParameter, match="'rate' must be a number, not 'abc'"):
        lab.read()
    lab.run(CELL.replace('"constant"', '"concurrent"'))
    with pytest.raises(ParameterConflict, match="'rate' 2 has no meaning"):
        lab.read()


def test_deleted_variable(lab):
    """A parameter that was deleted falls back to its default."""
    lab.run(CELL, "del rate")
    assert lab.read().rate == 1.0


def test_serving_parameters(lab):
    """The other notebook reads its own group in the same way."""
    lab.run("backend = 'simulated'\npreset = 'simple'\nserver_args = {'max_num_seqs': 8}")
    lab.run("p = from_notebook(globals(), ServingParameters)")
    expected = resolve({"preset": "simple", "server_args": {"max_num_seqs": 8}}, ServingParameters)
    assert lab.shell.user_ns["p"] == expected


def test_script():
    """Where no kernel keeps cells, the names that are parameters count and all others do not."""
    namespace = {"rate": 2, "load": "poisson", "other": 3, "__name__": "__main__"}
    assert from_notebook(namespace) == resolve({"rate": 2, "load": "poisson"})
    assert from_notebook({"port": 80}, ServingParameters).port == 80
    assert from_notebook({}) == RunParameters()


def _notebook(path):
    """A tiny notebook: parameters, a stray variable, and the reading cell, which shows what it read."""
    cells = [
        nbformat.v4.new_markdown_cell("# Tiny"),
        nbformat.v4.new_code_cell(CELL, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("stray = 'x'"),
        nbformat.v4.new_code_cell(
            "from benchkit.parameters import canonical_json, from_notebook\n"
            "print(canonical_json(from_notebook(globals())))"
        ),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)


@pytest.fixture
def execute(tmp_path):
    """Runs the tiny notebook by papermill and gives what its last cell printed."""

    def execute(parameters):
        _notebook(tmp_path / "in.ipynb")
        done = papermill.execute_notebook(
            tmp_path / "in.ipynb", tmp_path / "out.ipynb", parameters=parameters, progress_bar=False
        )
        return done.cells[-1].outputs[0].text.strip()

    return execute


def test_papermill_injects(execute):
    """Injected parameters override the cell's; an int may be a float, a text one objective."""
    printed = execute({"rate": 8, "slo": "p99 ttft < 80ms", "model": "it's"})
    assert '"rate":8.0' in printed
    assert '"slo":["p99 ttft < 80ms"]' in printed
    assert '"model":"it\'s"' in printed
    assert '"duration_s":10.0' in printed


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"reqest_rate": 8}, r"UnknownParameter.*'reqest_rate' is not a parameter .*did you mean 'rate'"),
        ({"rate": "abc"}, r"InvalidParameter.*'rate' must be a number, not 'abc'"),
    ],
)
def test_papermill_refuses(execute, parameters, said):
    """What papermill itself would let pass stops the notebook at its reading cell."""
    with pytest.raises(PapermillExecutionError, match=said):
        execute(parameters)
