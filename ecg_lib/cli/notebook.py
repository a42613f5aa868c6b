"""Papermill runner for the notebooks.

A pipeline stage runs `python -m ecg_lib.cli.notebook debiased/01_data`. The executed copy leaves
out what differs between runs (times, counters, progress bars), so that equal runs give equal files.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from functools import partial
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from ecg_lib import errors, paths
from ecg_lib.config import load_config
from ecg_lib.disk import write_file

CHECKED = "nbval-check-output"  # tag of cells whose output is stored, for nbval to compare
STAGE = "ecg_lib"  # key of the notebook metadata that the pipeline reads (`ecg_lib.stages`)
INJECTED = "injected-parameters"  # tag of the cell that Papermill adds
# Importing torch and transformers creates a million objects. With rarer garbage collection, and
# none at exit, a kernel saves two seconds.
QUICK = "import atexit, gc; gc.set_threshold(50_000, 20, 20); atexit.register(gc.freeze)"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


class NotebookError(errors.EcgLibError):
    """A notebook is missing, failed, or its stored output cannot be compared."""


def all_names() -> list[str]:
    """List all notebooks, as paths below notebooks/ without suffix, in reading order."""
    files = sorted(paths.NOTEBOOKS.glob("*/*.ipynb"))
    return [f"{file.parent.name}/{file.stem}" for file in files]


def execute(name: str, output: Path, params: str = "params.yaml") -> nbformat.NotebookNode:
    """Execute notebooks/NAME.ipynb in the project root; return it without volatile parts.

    Progress bars and warnings of the cells appear on the terminal. `output` is written cell by cell
    while the notebook runs. If a cell fails, the file remains with the cells that ran.

    Raises
    ------
    NotebookError
        The notebook is missing, a cell failed or the kernel died. The message is one line with the
        cell and its error; an EcgLibError shows its text without its type.
    """
    source = paths.NOTEBOOKS / f"{name}.ipynb"
    _read(name)  # one that is absent or damaged is named now
    output.parent.mkdir(parents=True, exist_ok=True)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel, not the home folder's
    # These warnings of libraries mean nothing to a reader of the notebook.
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress,ignore:`is_gradient_checkpointing`"
    try:
        done = papermill.execute_notebook(
            source,
            output,
            parameters={"params": params},
            kernel_name=KERNEL["name"],
            cwd=paths.ROOT,
            progress_bar={"desc": name},
            stderr_file=sys.stderr,
            extra_arguments=["--log-level=40", f"--IPKernelApp.exec_lines={QUICK}"],
        )
    except PapermillExecutionError as error:
        raise NotebookError(_one_line(name, error, output)) from error
    except DeadKernelError as error:
        raise NotebookError(
            f"notebooks/{name}.ipynb: the kernel died, probably for lack of memory; free some"
        ) from error
    return without_volatile(done)


def _one_line(name: str, error: PapermillExecutionError, output: Path) -> str:
    ours = {"EcgLibError", *(kind.__name__ for kind in _subclasses(errors.EcgLibError))}
    said = (error.evalue.strip().splitlines() or [""])[0]
    text = said if error.ename in ours else f"{error.ename}: {said}"
    cell = (error.source.strip().splitlines() or [""])[0][:60]
    kept = output.relative_to(paths.ROOT) if output.is_relative_to(paths.ROOT) else output
    return f"notebooks/{name}.ipynb, cell `{cell}`: {text} [cells run so far: {kept}]"


def _subclasses(kind: type[object]) -> set[type[object]]:
    return {deep for sub in kind.__subclasses__() for deep in {sub, *_subclasses(sub)}}


def without_volatile(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy of a notebook without times, counters, standard error and machine names."""
    clean = copy.deepcopy(notebook)
    kept = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    stage = {STAGE: notebook.metadata[STAGE]} if STAGE in notebook.metadata else {}
    clean.metadata = nbformat.from_dict(kept | stage)
    for position, cell in enumerate(clean.cells, start=1):
        tags = cell.metadata.get("tags", [])
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if INJECTED in tags:
            cell.id = f"parameters-{position}"  # Papermill's id is random
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = None
    return clean


def for_storage(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy of a notebook as git stores it, with text outputs of checked cells only.

    Raises
    ------
    NotebookError
        A checked cell shows output other than text, which nbval cannot compare.
    """
    clean = without_volatile(notebook)
    clean.cells = [cell for cell in clean.cells if INJECTED not in cell.metadata.get("tags", [])]
    code = [cell for cell in clean.cells if cell.cell_type == "code"]
    for position, cell in enumerate(code, start=1):
        cell.outputs = cell.outputs if CHECKED in cell.metadata.get("tags", []) else []
        if cell.outputs:
            cell.execution_count = position  # nbval treats a cell without a number as not run
        for output in cell.outputs:
            kinds = [kind for kind in output.get("data", {}) if not kind.startswith("text/")]
            if kinds:
                raise NotebookError(
                    f"code cell {position} shows {kinds[0]}; make it show only text, "
                    f"or remove its tag {CHECKED}"
                )
    return clean


def write(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook atomically."""
    write_file(path, partial(nbformat.write, notebook))


def run(name: str) -> Path:
    """Execute a notebook of the pipeline into executed/<profile>/ and return the copy's path."""
    folder, file = paths.ROOT / "executed" / load_config().profile, f"{Path(name).name}.ipynb"
    done = execute(name, folder / "_failed" / file)
    write(done, folder / file)
    (folder / "_failed" / file).unlink()
    return folder / file


def store(names: list[str]) -> None:
    """Execute notebooks and write the outputs of their checked cells back into notebooks/."""
    unfinished = paths.ROOT / "executed" / load_config().profile / "_failed"
    for name in names:
        done = execute(name, unfinished / f"{name}.ipynb")
        try:
            write(for_storage(done), paths.NOTEBOOKS / f"{name}.ipynb")
        except NotebookError as error:
            raise NotebookError(f"notebooks/{name}.ipynb: {error}") from error
        (unfinished / f"{name}.ipynb").unlink()


def _read(name: str) -> nbformat.NotebookNode:
    """Read a notebook of notebooks/ in format 4."""
    file = paths.NOTEBOOKS / f"{name}.ipynb"
    if not file.is_file():
        raise NotebookError(f"notebooks/{name}.ipynb: no such notebook; name one in notebooks/")
    try:
        notebook = nbformat.read(file, as_version=4)
        nbformat.validate(notebook)
        return notebook
    except Exception as error:  # nbformat raises many types on damaged files
        raise NotebookError(
            f"notebooks/{name}.ipynb: no notebook ({type(error).__name__}); restore it with git"
        ) from error


def unclean(names: list[str]) -> list[str]:
    """List the notebooks that hold anything that `for_storage` would remove."""
    found = []
    for name in names:
        notebook = _read(name)
        try:
            if for_storage(notebook) != notebook:
                found.append(name)
        except NotebookError:
            found.append(name)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run notebooks, write their checked outputs back, or check that they are stored clean."""
    parser = argparse.ArgumentParser(
        prog="python -m ecg_lib.cli.notebook", description=main.__doc__
    )
    parser.add_argument(
        "name", nargs="*", help="e.g. debiased/01_data; with --store or --check-clean, default: all"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--store",
        action="store_true",
        help=f"write outputs of cells tagged {CHECKED} into notebooks/, clear all others",
    )
    mode.add_argument(
        "--check-clean", action="store_true", help="list notebooks stored with volatile output"
    )
    options = parser.parse_args(arguments)
    names = options.name or all_names()
    try:
        if options.check_clean:
            found = unclean(names)
            if found:
                raise NotebookError(
                    f"volatile output is stored in {', '.join(found)}; run `make store`"
                )
        elif options.store:
            store(names)
        elif options.name:
            for name in options.name:
                run(name)
        else:
            parser.error("name a notebook, e.g. debiased/01_data")
    except errors.EcgLibError as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
