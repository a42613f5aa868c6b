"""Anchors of the blind test: readers that know the question, or whether the ECG is normal.

Each reader answers the questions of patients from whose rows it has learned nothing
(cross-validation by patient). Its accuracy is therefore what a blind model may reach, and not what
the rows were fitted to. Rows may have weights; a reader then learns what is right under them.

constant        the most common answer to this kind of question
question        what the words of the question and its other wordings say about the answer
ill             whether yes is more common than usual at this severity; sees no question
question + ill  both
perfect         the true answer about the ECG that is shown, as far as it is known
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

from ecg_lib.baselines.anchors import ANCHORS, BOTH, CONSTANT, ILL, PERFECT, QUESTION
from ecg_lib.blind_test.question_set import (
    QuestionSet,
    answer_of,
    closed,
    sample,
    severity_texts,
)
from ecg_lib.errors import DataError
from ecg_lib.questions.vocabulary import NO, YES

FOLDS = 5
_LEARN_FROM = 20_000  # rows; more change little and cost minutes
_INNER = 3  # folds within which a reader chooses what to rely on
_MOSTLY = 0.8  # kinds with so many yes/no answers are answered yes or no
_MARGIN = 0.03  # a reader that is less sure than this gives the usual answer
_STRENGTHS = (1e-3, 1e-2, 1e-1)
_KNOWS = {
    CONSTANT: (("kind",),),
    QUESTION: (("kind",), ("kind", "key")),
    ILL: (("kind",), ("kind", "severity")),
    BOTH: (("kind",), ("kind", "key"), ("kind", "severity"), ("kind", "key", "severity")),
}
_KNOWN = 0.9  # share of the true answers that "perfect" must know


def anchor_answers(
    questions: QuestionSet,
    asked: Mapping[str, pd.DataFrame],
    weight: pd.Series,
    seed: int = 0,
) -> dict[str, dict[str, pd.Series]]:
    """Return the answers of every anchor under every condition.

    Parameters
    ----------
    questions : QuestionSet
        The anchors learn from all of its rows, in folds of patients.
    asked : mapping of condition to DataFrame
        Rows of the set, with the ECGs that the condition shows; indexed as in the set.
    weight : Series
        Weight of each row of the set; rows of weight 0 teach nothing.
    seed : int
        Random seed of the rows that are learned from if there are too many.

    Returns
    -------
    dict of anchor to dict of condition to Series of str
        "perfect" has only the conditions for which nearly all true answers are known.

    Raises
    ------
    DataError
        The rows are about a single patient, so that nothing can be held out.
    """
    taught = sample(questions.rows[weight > 0], _LEARN_FROM, seed)
    table = _described(taught, questions).assign(weight=weight.loc[taught.index])
    share = table["closed"].groupby(table["kind"]).mean()
    scored = set(share.index[share >= _MOSTLY])
    patients = table["patient"].unique()
    if len(patients) < 2:
        raise DataError(f"{questions.name}: all rows are about one patient; give two or more")
    table["scored"] = table["kind"].isin(scored)
    frames = {name: _described(rows, questions) for name, rows in asked.items()}
    for frame in frames.values():
        frame["scored"] = frame["kind"].isin(scored)
    said: dict[str, dict[str, pd.Series]] = {
        who: {name: pd.Series("", index=rows.index, dtype=object) for name, rows in asked.items()}
        for who in ANCHORS
        if who != PERFECT
    }
    # a row belongs to the patient of its own ECG, also where a donor's is shown
    owner = questions.rows["ecg_id"].str[0].map(questions.patients)
    fold_of = _folds(patients, table["patient"])
    strengths = _strengths(table, table["patient"].map(fold_of))
    for fold in sorted(set(fold_of.values())):
        taught = table[table["patient"].map(fold_of) != fold]
        reader = _Readers(taught, strengths)
        for name, frame in frames.items():
            # a patient without a row to learn from is in no fold and is answered with the first
            own = frame[owner.loc[frame.index].map(fold_of).fillna(0) == fold]
            if len(own):
                for who, texts in reader.answer(own).items():
                    said[who][name].loc[own.index] = texts
    said[PERFECT] = _perfect(questions, asked, said[QUESTION])
    return said


class _Readers:
    """The anchors, learned from one set of rows."""

    def __init__(self, taught: pd.DataFrame, strengths: Mapping[tuple[str, str], float]):
        yes_no = taught[taught["scored"] & taught["closed"]]
        other = taught[~taught["scored"]]
        self._usual = _share_of_yes(yes_no, ["kind"])
        self._more_yes = _more_yes_than_usual(yes_no)
        self._look_ups = {who: _LookUp(other, keys) for who, keys in _KNOWS.items()}
        self._words = {
            (kind, who): _fitted(part, who == BOTH, strengths[str(kind), who])
            for kind, part in yes_no.groupby("kind")
            for who in (QUESTION, BOTH)
        }

    def answer(self, rows: pd.DataFrame) -> dict[str, pd.Series]:
        said = {}
        for who, table in self._look_ups.items():
            said[who] = pd.Series("", index=rows.index, dtype=object)
            if (~rows["scored"]).any():
                said[who].loc[~rows["scored"]] = table.said(rows[~rows["scored"]])
        for kind, part in rows[rows["scored"]].groupby("kind"):
            usual = YES if self._usual.get(str(kind), 0.0) > 0.5 + _MARGIN else NO
            said[CONSTANT].loc[part.index] = usual
            for who in (QUESTION, BOTH):
                model = self._words.get((str(kind), who))
                p_yes = np.full(len(part), 0.5)
                if model is not None:
                    p_yes = model[1].predict_proba(model[0].transform(_tokens(part, who == BOTH)))
                    p_yes = p_yes[:, 1]
                said[who].loc[part.index] = _decided(p_yes, usual)
            wanted = pd.MultiIndex.from_frame(part[["kind", "severity"]])
            more = self._more_yes.reindex(wanted).astype(float).fillna(0.0).to_numpy()
            said[ILL].loc[part.index] = _decided(0.5 + more, usual)
        return said


class _LookUp:
    """The most common answer by some columns; per kind, the columns that held-out rows favour."""

    def __init__(self, taught: pd.DataFrame, choices: Sequence[Sequence[str]]):
        self._tables = [_table(taught, columns) for columns in choices]
        self._choices = choices
        self._best: dict[str, int] = {}
        if len(choices) == 1:
            return
        for kind, part in taught.groupby("kind"):
            hits = np.zeros(len(choices))
            if part["patient"].nunique() >= _INNER:
                for known, held in GroupKFold(_INNER).split(part, groups=part["patient"]):
                    table = _look_up_all(part.iloc[known], part.iloc[held], choices)
                    own = part.iloc[held]
                    hits += [((said == own["text"]) * own["weight"]).sum() for said in table]
            self._best[str(kind)] = int(hits.argmax())

    def said(self, rows: pd.DataFrame) -> pd.Series:
        """Return the answers; where a group was not learned, that of the kind."""
        every = [_reindexed(t, rows, c) for t, c in zip(self._tables, self._choices, strict=True)]
        best = rows["kind"].map(self._best).fillna(0).astype(int)
        found = pd.Series(np.nan, index=rows.index, dtype=object)
        for place, texts in enumerate(every):
            found = found.where(best != place, texts)
        return found.where(found.notna(), every[0]).fillna("")


def _look_up_all(
    taught: pd.DataFrame, asked: pd.DataFrame, choices: Sequence[Sequence[str]]
) -> list[pd.Series]:
    said = [_reindexed(_table(taught, columns), asked, columns) for columns in choices]
    return [texts.where(texts.notna(), said[0]) for texts in said]


def _table(taught: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Return the answer of largest weight by some columns; ties go to the first by alphabet."""
    sums = taught.groupby([*columns, "text"], sort=True)["weight"].sum().reset_index()
    best = sums.sort_values("weight", ascending=False, kind="stable").drop_duplicates(columns)
    return best.set_index(list(columns))["text"]


def _reindexed(table: pd.Series, rows: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    if len(columns) == 1:
        return rows[columns[0]].map(table).astype(object)
    wanted = pd.MultiIndex.from_frame(rows[list(columns)])
    return pd.Series(table.reindex(wanted).to_numpy(), index=rows.index, dtype=object)


def _decided(p_yes: np.ndarray, usual: str) -> np.ndarray:
    """Return yes or no, and the usual answer where the two are about as likely.

    Of rows that are balanced by design, those held out have fewer yes where those learned from
    have more. A reader without this margin would do worse than a coin on them.
    """
    answers = np.where(p_yes > 0.5, YES, NO).astype(object)
    answers[np.abs(p_yes - 0.5) <= _MARGIN] = usual
    return answers


def _share_of_yes(yes_no: pd.DataFrame, columns: list[str]) -> pd.Series:
    """Return the share of the weight that is answered yes, by some columns."""
    sums = yes_no.assign(yes=(yes_no["text"] == YES) * yes_no["weight"]).groupby(columns)
    return sums["yes"].sum() / sums["weight"].sum()


def _more_yes_than_usual(yes_no: pd.DataFrame) -> pd.Series:
    """Return by (kind, severity) the share of yes there minus that of the kind; known ones only."""
    known = yes_no[yes_no["severity"] != ""]
    share = _share_of_yes(known, ["kind", "severity"])
    return share - share.index.get_level_values("kind").map(_share_of_yes(known, ["kind"]))


def _described(rows: pd.DataFrame, questions: QuestionSet) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient": rows["ecg_id"].str[0].map(questions.patients),
            "kind": rows["kind"].astype(str),
            "key": rows["key"].astype(str),
            "question": rows["question"],
            "text": answer_of(rows),
            "closed": closed(rows),
            "severity": severity_texts(rows, questions.ecgs),
        }
    )


def _folds(patients: np.ndarray, of_row: pd.Series) -> dict[str, int]:
    """Assign each patient to a fold, so that folds have about equally many rows."""
    splits = GroupKFold(min(FOLDS, len(patients))).split(of_row, groups=of_row)
    return {patient: fold for fold, (_, held) in enumerate(splits) for patient in of_row.iloc[held]}


def _tokens(rows: pd.DataFrame, ill: bool) -> list[list[str]]:
    """Return each question's words, pairs of words and key; with `ill` also beside its severity."""
    parts = []
    for question, key, severity in zip(
        rows["question"], rows["key"], rows["severity"], strict=True
    ):
        words = str(question).lower().split()
        own = [*words, *map(" ".join, zip(words, words[1:], strict=False)), f"key {key}"]
        parts.append([*own, *(f"{severity}: {token}" for token in [*own, ""])] if ill else own)
    return parts


def _strengths(table: pd.DataFrame, fold: pd.Series) -> dict[tuple[str, str], float]:
    """Choose the regularisation of each regression by its log loss on held-out patients.

    A question that says nothing about its answer then does not mislead it.
    """
    chosen = {}
    for kind, part in table[table["scored"] & table["closed"]].groupby("kind"):
        yes = (part["text"] == YES).to_numpy()
        own, weight = fold.loc[part.index].to_numpy(), part["weight"].to_numpy()
        for who in (QUESTION, BOTH):
            words = CountVectorizer(analyzer=list, binary=True).fit_transform(
                _tokens(part, who == BOTH)
            )
            losses = []
            for strength in _STRENGTHS:
                p_yes = np.full(len(part), 0.5)
                for held in np.unique(own):
                    known, asked = own != held, own == held
                    if len(set(yes[known])) == 2:
                        model = _regression(strength).fit(words[known], yes[known], weight[known])
                        p_yes[asked] = model.predict_proba(words[asked])[:, 1]
                losses.append(log_loss(yes, p_yes, sample_weight=weight, labels=[False, True]))
            chosen[str(kind), who] = _STRENGTHS[int(np.argmin(losses))]
    return chosen


def _regression(strength: float) -> LogisticRegression:
    return LogisticRegression(C=strength, solver="liblinear", max_iter=200)


def _fitted(
    rows: pd.DataFrame, ill: bool, strength: float
) -> tuple[CountVectorizer, LogisticRegression] | None:
    """Fit a logistic regression on the tokens; None if all answers are the same."""
    yes = (rows["text"] == YES).to_numpy()
    if yes.all() or not yes.any():
        return None
    counter = CountVectorizer(analyzer=list, binary=True)
    words = counter.fit_transform(_tokens(rows, ill))
    return counter, _regression(strength).fit(words, yes, rows["weight"].to_numpy())


def _perfect(
    questions: QuestionSet, asked: Mapping[str, pd.DataFrame], otherwise: Mapping[str, pd.Series]
) -> dict[str, pd.Series]:
    """Return true answers: of the row for its own ECG, and for others if most are known.

    A row whose true answer is not known gets the answer of `otherwise`.
    """
    own = answer_of(questions.rows)
    found = {}
    for name, rows in asked.items():
        if rows["ecg_id"].equals(questions.rows.loc[rows.index, "ecg_id"]):
            found[name] = own.loc[rows.index]
        elif questions.truth is not None:
            told = questions.truth(rows)
            if told.notna().mean() >= _KNOWN:
                found[name] = told.where(told.notna(), otherwise[name]).astype(object)
    return found
