"""The blind test: whether answers depend on the ECG, and on more of it than illness."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from ecg_lib.baselines.anchors import ANCHORS
from ecg_lib.blind_test.asking import Model, ask_all
from ecg_lib.blind_test.blind_plan import MAX_ROWS, Plan
from ecg_lib.blind_test.conditions import CONDITIONS
from ecg_lib.blind_test.measures import blind_table, read_replies
from ecg_lib.blind_test.question_set import QuestionSet
from ecg_lib.blind_test.verdict import Verdict, verdict
from ecg_lib.data.credentialed import without_ids
from ecg_lib.disk import write_file


@dataclass(frozen=True, eq=False)
class BlindTest:
    """The result of a blind test.

    Parameters
    ----------
    model, questions : str
        Names of the model and of the question set.
    table : DataFrame
        From `measures.blind_table`.
    verdict : Verdict
    replies : DataFrame
        From `measures.read_replies`: every request with the reply and the answer read from it.
    """

    model: str
    questions: str
    table: pd.DataFrame
    verdict: Verdict
    replies: pd.DataFrame

    def write(self, folder: str | Path) -> None:
        """Write the table (CSV, Markdown, LaTeX), the verdict, the replies and the figure.

        The replies name no ECG of a credentialed data set.
        """
        from ecg_lib.blind_test.blind_report import to_latex, to_markdown

        folder = Path(folder)
        write_file(folder / "blind_test.csv", partial(self.table.to_csv, index=False))
        write_file(folder / "blind_test.md", to_markdown(self))
        write_file(folder / "blind_test.tex", to_latex(self))
        shown = [[without_ids(str(ecg)) for ecg in ids] for ids in self.replies["ecg_id"]]
        replies = self.replies.assign(ecg_id=shown)
        write_file(folder / "replies.csv", partial(replies.to_csv, index=False))
        write_file(folder / "verdict.txt", f"{self.verdict.rule}\n{self.verdict}\n")
        if (figure := self.figure()) is not None:
            for kind in ("png", "svg"):
                write_file(folder / f"blind_test.{kind}", partial(figure.savefig, dpi=150))

    def figure(self) -> Figure | None:
        """Draw the plane of two drops; None if the matched drop was not measured."""
        from ecg_lib.blind_test.blind_report import plane

        return plane([self])


def blind_test(
    model: Model,
    questions: QuestionSet,
    folder: str | Path | None = None,
    *,
    name: str | None = None,
    plan: Plan | None = None,
    max_rows: int | None = MAX_ROWS,
    seed: int = 0,
    conditions: Sequence[str] = CONDITIONS,
    resamples: int = 1000,
    progress: bool = True,
) -> BlindTest:
    """Ask a model the same questions with its own ECGs and with stand-ins, and judge it.

    Nothing is trained. See `asking.Model` for what a model does, and `sources` for question sets.

    Parameters
    ----------
    model : callable
        `model(ecgs, questions)` returns texts or `Reply` objects.
    questions : QuestionSet
    folder : path, optional
        Replies are kept there, so that an interrupted test goes on where it stopped, and the
        result is written there.
    name : str, optional
        The model's name in the table; by default its attribute `name`, or its function's name.
    plan : Plan, optional
        What to ask, from `Plan.of`, so that several models answer the same requests. It replaces
        `max_rows`, `seed` and `conditions`.
    max_rows : int, optional
        Number of rows that are drawn from the set; None takes all.
    seed : int
        Random seed of rows, donors, noise and bootstrap.
    conditions : sequence of str
        Some of `conditions.CONDITIONS`; "own ECG" and "random" are required.
    resamples : int
        Bootstrap draws.
    progress : bool
        Show a progress bar.

    Returns
    -------
    BlindTest

    Raises
    ------
    DataError
        The question set allows no such test.
    """
    plan = plan or Plan.of(questions, max_rows, seed, conditions)
    own = name or _attribute(model, "title", "name", "__name__") or "model"
    file = Path(folder) / "replies.jsonl" if folder else None
    replies = ask_all(model, questions, plan, file, progress)
    result = judged(plan, replies, own, resamples)
    if folder:
        result.write(folder)
    return result


def _attribute(model: object, *names: str) -> str:
    return next((str(own) for name in names if (own := getattr(model, name, ""))), "")


def judged(plan: Plan, replies: pd.DataFrame, model: str, resamples: int = 1000) -> BlindTest:
    """Judge replies to the requests of a plan.

    Parameters
    ----------
    replies : DataFrame
        `text`, `p_yes`, `error`, in the order of `plan.requests`.
    model : str
        The model's name in the table.
    """
    model = re.sub(r",\s*", " ", model)  # a comma parts a row's name from its measure
    if model in ANCHORS:
        model = f"{model} (model)"
    answered = read_replies(plan, replies)
    table = blind_table(plan, answered, model, resamples)
    return BlindTest(model, plan.name, table, verdict(table, answered, model), answered)
