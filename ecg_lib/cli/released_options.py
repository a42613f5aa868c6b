"""Options of `evaluate` for sets that were published with label files, and the files' defects."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecg_lib.data.store import EcgStore
    from ecg_lib.evaluation.task import Task

PATIENTS, RELEASED = "patients", "released"  # values of --draw
HELP = "what the defects of published label files are worth"
DESCRIPTION = """Compare the labels of the sets that MERL published as released and as corrected,
from the files alone. `ceiling` is the mean AUC that a reader of the true labels would reach against
the labels as released."""
_FOLDER = "folder of the published label files (MERL's finetune/data_split), or one above it"


def add_files(verb: argparse.ArgumentParser) -> None:
    """Add the options that name the files and how to read them."""
    verb.add_argument(
        "--released",
        metavar="DIR",
        help=f"{_FOLDER}: labels and split are read there instead of from the store",
    )
    verb.add_argument(
        "--as-released",
        action="store_true",
        help="with --released: keep the labels' two known defects instead of correcting them",
    )


def add_defects(verb: argparse.ArgumentParser) -> None:
    """Add the options of `label-defects` to its parser."""
    verb.add_argument("--released", required=True, metavar="DIR", help=_FOLDER)
    verb.add_argument("--task", metavar="NAME", help="show the classes of one set instead")
    verb.add_argument("--out", metavar="FILE", help="also write the table as CSV")


def chosen(task: Task, options: argparse.Namespace) -> Task:
    """Return the task with the labels and the split that the options ask for.

    Raises
    ------
    DataError
        The task has no published files, they cannot be read, or --as-released stands alone.
    """
    from ecg_lib.errors import DataError
    from ecg_lib.evaluation.released_task import with_released

    if options.released:
        return with_released(task, options.released, corrected=not options.as_released)
    if options.as_released:
        raise DataError("--as-released needs --released, the folder of the published label files")
    return task


def tell(task: Task, *stores: EcgStore) -> None:
    """Say on stderr how many of the listed records the stores hold."""
    from ecg_lib.evaluation.released_task import ReleasedTask

    if not isinstance(task, ReleasedTask):
        return
    for store in {id(store): store for store in stores}.values():
        counts = task.at_hand(store)
        parts = ", ".join(
            f"{part} {row.at_hand:,} of {row.listed:,}" for part, row in counts.iterrows()
        )
        absent = int(counts["absent"].sum())
        print(
            f"{task.title}: {store.folder} holds {parts} listed records; {absent:,} are absent",
            file=sys.stderr,
        )


def defects(options: argparse.Namespace) -> Any:
    """Return the table of `label-defects`."""
    from ecg_lib.errors import DataError
    from ecg_lib.evaluation.label_defects import class_defects, label_defects
    from ecg_lib.evaluation.task import load_task

    if not options.task:
        return label_defects(options.released)
    task = load_task(f"{options.task}.yaml")
    if task.released is None:
        raise DataError(f"--task {options.task}: has no published label files; choose another")
    return class_defects(task, options.released)
