"""Tests of the stored notebooks: clean, well formed, and with outputs that running them repeats."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ecg_lib import paths
from ecg_lib.cli import notebook as runner
from ecg_lib.errors import DataError

ERROR = DataError.__name__
NAMES = runner.all_names()


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4)


@pytest.mark.slow
@pytest.mark.xdist_group("pipeline")
def test_stored_outputs_are_what_the_notebooks_print_again(smoke_clone):
    report = smoke_clone.folder / ".nbval.tmp"
    command = "python -m pytest notebooks --nbval-lax --nbval-current-env -p no:cacheprovider"
    smoke_clone.run(*command.split(), "-p", "no:xdist", "--junitxml", str(report))
    suite = ElementTree.parse(report).getroot().find("testsuite")
    cells = [cell for name in NAMES for cell in read(name).cells if cell.cell_type == "code"]
    compared = [c for c in cells if runner.CHECKED in c.metadata.get("tags", []) and c.outputs]
    assert int(suite.get("tests")) == len(cells)
    assert len(compared) >= len(NAMES), "each notebook should have a cell whose output is compared"


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_stored_without_volatile_output(name):
    nbformat.validate(read(name))
    assert runner.unclean([name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_open_with_what_they_teach_need_and_cost_and_take_parameters(name):
    cells = read(name).cells
    opening = "\n".join(cell.source for cell in cells[:3])
    number = re.match(r"\d*", name.partition("/")[2])[0]
    assert re.match(rf"# {number}\b" if number else "# ", opening)
    for promise in ("What you will learn", "What it needs", "How long"):
        assert promise in opening
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    assert tagged[0].source.startswith('params = "params.yaml"')


@pytest.mark.parametrize("name", NAMES)
def test_cells_are_short_because_the_library_computes(name):
    cells = [cell for cell in read(name).cells if cell.cell_type == "code"]
    assert max(len(cell.source.splitlines()) for cell in cells) <= 15


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A function that makes a checkout with one notebook, debiased/01_data, from code cells."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setenv("PYTHONPATH", str(Path(runner.__file__).parents[2]))

    def make(*sources, tags=()):
        parameters = new_code_cell('params = "params.yaml"', metadata={"tags": ["parameters"]})
        cells = [new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
        cells = [new_markdown_cell("# 01"), parameters, *cells]
        book = new_notebook(cells=cells, metadata={"kernelspec": runner.KERNEL})
        runner.write(book, tmp_path / "notebooks" / "debiased" / "01_data.ipynb")
        return tmp_path

    return make


def test_two_runs_of_a_notebook_give_the_same_file(checkout):
    folder = checkout("import sys, time\nprint('kept')\nprint(time.time(), file=sys.stderr)\n1 + 1")
    one, two = (
        runner.execute("debiased/01_data", folder / "executed" / f"{i}.ipynb") for i in "12"
    )
    assert one == two
    shown = one.cells[-1].outputs
    assert [output.get("text") for output in shown] == ["kept\n", None]
    assert shown[1].data["text/plain"] == "2"


def test_a_failing_notebook_ends_in_one_line_and_leaves_what_it_did(checkout, capsys):
    message = "ptbxl_database.csv: not found in /data; download PTB-XL"
    raising = f"from ecg_lib.errors import {ERROR}\nraise {ERROR}({message!r})"
    folder = checkout("print('before')", raising, "print('never')")
    with pytest.raises(runner.NotebookError) as caught:
        runner.execute("debiased/01_data", folder / "_failed" / "01_data.ipynb")
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(
        f"notebooks/debiased/01_data.ipynb, cell `from ecg_lib.errors import {ERROR}`: "
    )
    assert f": {message} [" in said, "the library's own message stands without a class name"
    kept = (folder / "_failed" / "01_data.ipynb").read_text()
    assert "before" in kept and "Traceback" in kept


def test_an_unforeseen_error_is_named_by_its_kind(checkout):
    folder = checkout("{}['missing']")
    with pytest.raises(runner.NotebookError, match=r"cell `\{\}\['missing'\]`: KeyError: 'missi"):
        runner.execute("debiased/01_data", folder / "01_data.ipynb")


def test_an_unknown_notebook_is_an_error_of_one_line_and_exit_code_one(capsys):
    with pytest.raises(SystemExit) as ended:
        runner.main(["10_nowhere"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said == "error: notebooks/10_nowhere.ipynb: no such notebook; name one in notebooks/\n"


def test_only_checked_text_is_stored(checkout):
    output = new_output("execute_result", {"text/plain": "2"}, execution_count=7)
    cells = [
        new_code_cell("1 + 1", outputs=[output], execution_count=7),
        new_code_cell("1 + 1", outputs=[output], metadata={"tags": [runner.CHECKED]}),
        new_code_cell("", metadata={"tags": ["injected-parameters"]}),
    ]
    metadata = {"papermill": {"start": "now"}, "ecg_lib": {"desc": "What it does"}}
    stored = runner.for_storage(new_notebook(cells=cells, metadata=metadata))
    assert [cell.outputs != [] for cell in stored.cells] == [False, True]
    assert [cell.execution_count for cell in stored.cells] == [None, 2]  # renumbered, not 7
    assert stored.cells[1].outputs[0].execution_count is None
    assert set(stored.metadata) == {"kernelspec", "language_info", "ecg_lib"}


def test_a_checked_picture_is_refused():
    output = new_output("display_data", {"image/png": "AAAA", "text/plain": "<Figure>"})
    cell = new_code_cell("plot()", outputs=[output], metadata={"tags": [runner.CHECKED]})
    with pytest.raises(runner.NotebookError, match="image/png"):
        runner.for_storage(new_notebook(cells=[cell]))
