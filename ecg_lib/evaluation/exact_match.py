"""Exact match for ECG-QA answers, by four stated rules.

The paper reports "exact match" without saying how strings are compared, and ECG-QA's answers are
*sets* whose written order varies between releases. The rules, from strictest to most lenient:

``strict string``         letter for letter the gold labels, joined by "; " in the row's order
``normalised string``     the same after NFKC, lower case, single spaces, no closing ``. , ; !``
``normalised set``        the same set of labels, in any order (the headline rule)
``closed-vocabulary set`` the text is first mapped to the nearest of the template's classes, as in
                          the scoring of ECG-QA's classifier baselines ("none" = no label)

An empty prediction is wrong under every rule. A comma alone never separates labels, because labels
contain commas; see `parse_prediction`.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.intervals import wilson
from ecg_lib.questions.closed_vocabulary import ecgqa_classes
from ecg_lib.questions.schema import SHORT_NAMES
from ecg_lib.questions.vocabulary import JOINER, NONE, normalise, parse_answer

HEADLINE = "normalised set"
RULES = ("strict string", "normalised string", HEADLINE, "closed-vocabulary set")


def parse_prediction(text: str, classes: Iterable[str] = ()) -> frozenset[str]:
    """Read the set of normalised labels in a model's text, by the strict rule of `parse_answer`.

    Parameters
    ----------
    text : str
        The model's text.
    classes : iterable of str
        The valid labels; without them only ";" separates labels.
    """
    return _parse(text, _vocabulary(classes))


def strict_string(prediction: str, gold: Sequence[str]) -> bool:
    """Return whether a prediction is letter for letter the gold labels joined by "; "."""
    return bool(normalise(prediction)) and prediction == JOINER.join(gold)


def normalised_string(prediction: str, gold: Sequence[str]) -> bool:
    """Apply `strict_string` after NFKC, lower case, single spaces and no closing punctuation."""
    text = normalise(prediction)
    return bool(text) and text == normalise(JOINER.join(gold))


def normalised_set(prediction: str, gold: Sequence[str], classes: Iterable[str] = ()) -> bool:
    """Return whether the prediction names the gold set in any order; the headline rule.

    Labels are separated by ";", and also by commas or "and" if nothing but `classes` and gold
    labels stands between them. Any other word makes the prediction wrong.
    """
    wanted = frozenset(normalise(label) for label in gold)
    return bool(normalise(prediction)) and _parse(prediction, _vocabulary(classes, gold)) == wanted


def closed_vocabulary_set(
    prediction: str, gold: Sequence[str], classes: Iterable[str] = ()
) -> bool:
    """Return whether the sets are equal after mapping the prediction to the nearest classes.

    ECG-QA's classifiers are scored this way. "none" is the empty set on both sides, but an empty
    prediction is wrong.
    """
    wanted = frozenset(normalise(label) for label in gold) - {NONE}
    return (
        bool(normalise(prediction)) and _nearest(prediction, _vocabulary(classes, gold)) == wanted
    )


def is_correct(
    prediction: str, gold: Sequence[str], rule: str, classes: Iterable[str] = ()
) -> bool:
    """Return whether one prediction matches one gold answer set under one of `RULES`.

    Raises
    ------
    DataError
        The rule is unknown.
    """
    return _is_correct(prediction, tuple(gold), rule, _vocabulary(classes, gold))


def score(
    predictions: pd.Series,
    rows: pd.DataFrame,
    classes_of: Callable[[Any], Sequence[str]] | None = None,
) -> pd.DataFrame:
    """Add the prediction and one boolean column per rule to the question rows.

    Parameters
    ----------
    predictions : (n,) Series of str
        The model's texts, with the index of `rows`.
    rows : (n,) DataFrame
        Question rows in ECG-QA's schema; `answer` is a list of str.
    classes_of : callable, optional
        Takes a row as a named tuple and returns its valid classes; by default ECG-QA's own.

    Returns
    -------
    (n,) DataFrame
        The rows with the columns "prediction" and `RULES`.

    Raises
    ------
    DataError
        The index of the predictions differs from that of the rows.
    """
    if not predictions.index.equals(rows.index):
        raise DataError(
            "predictions: the index differs from that of the question rows; score the same rows"
        )
    classes_of = classes_of or ecgqa_classes
    scored = rows.copy()
    scored["prediction"] = predictions.fillna("").astype(str)
    columns: dict[str, list[bool]] = {rule: [] for rule in RULES}
    for row in scored.itertuples(index=False):
        gold = tuple(row.answer)
        vocabulary = _vocabulary(tuple(classes_of(row)), gold)
        for rule in RULES:
            columns[rule].append(_is_correct(row.prediction, gold, rule, vocabulary))
    return scored.assign(**columns)


def by_question_type(scored: pd.DataFrame, rule: str = HEADLINE) -> pd.DataFrame:
    """Return the accuracy on each of the seven question types, with 95 % Wilson intervals.

    Parameters
    ----------
    scored : DataFrame
        As returned by `score`.

    Returns
    -------
    DataFrame
        column (short name), value, n, ci_low, ci_high; percent, NaN if a type has no question.
    """
    short = scored["question_type"].map(SHORT_NAMES)
    return accuracy_by(scored[rule], short, list(SHORT_NAMES.values()))


def by_rule(scored: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy on all rows together under every rule, with 95 % Wilson intervals.

    Parameters
    ----------
    scored : DataFrame
        As returned by `score`.

    Returns
    -------
    DataFrame
        column (rule), value, n, ci_low, ci_high; percent.
    """
    cells = [
        {"column": rule, **wilson(int(scored[rule].sum()), len(scored)).percent()} for rule in RULES
    ]
    return pd.DataFrame(cells)


def accuracy_by(correct: pd.Series, group: pd.Series, order: Sequence[str]) -> pd.DataFrame:
    """Return the accuracy in percent of each group, in order, with 95 % Wilson intervals.

    Parameters
    ----------
    correct : (n,) Series of bool
    group : (n,) Series
        The group of each row.
    order : sequence of str
        Groups in the order of the result; a group without rows gets NaN.
    """
    counts = correct.groupby(group).agg(["sum", "size"]).reindex(order, fill_value=0)
    cells = [
        {"column": name, **wilson(int(k), int(n)).percent()}
        for name, k, n in zip(order, counts["sum"], counts["size"], strict=True)
    ]
    return pd.DataFrame(cells)


def _vocabulary(*lists: Iterable[str]) -> tuple[str, ...]:
    """Return normalised labels, longest first, so that "lead III" is tried before "lead I"."""
    return _sorted_labels(tuple(label for labels in lists for label in labels))


@lru_cache(maxsize=4096)
def _sorted_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({normalise(label) for label in labels}, key=lambda x: (-len(x), x)))


@lru_cache(maxsize=65536)
def _parse(text: str, vocabulary: tuple[str, ...]) -> frozenset[str]:
    return parse_answer(text, vocabulary, strict=True)


@lru_cache(maxsize=65536)
def _nearest(text: str, vocabulary: tuple[str, ...]) -> frozenset[str]:
    """Return the labels that the text names, longest first, or else the most similar ones.

    This is lenient on purpose: words around the labels are ignored, even denials. "none" is
    dropped. Members not similar to any class (difflib ratio of 0.6) stay as they are, hence wrong.
    """
    found: set[str] = set()
    for member in filter(None, (normalise(part) for part in text.split(";"))):
        named = parse_answer(member, vocabulary)
        similar = difflib.get_close_matches(member, vocabulary, n=1)
        found |= named or set(similar) or {member}
    return frozenset(found - {NONE})


@lru_cache(maxsize=65536)
def _is_correct(text: str, gold: tuple[str, ...], rule: str, vocabulary: tuple[str, ...]) -> bool:
    if rule not in _MATCH:
        raise DataError(f"exact match: unknown rule {rule!r}; use one of {', '.join(RULES)}")
    return _MATCH[rule](text, gold, vocabulary)


_MATCH: MappingProxyType[str, Callable[..., bool]] = MappingProxyType(
    {
        "strict string": lambda text, gold, _: strict_string(text, gold),
        "normalised string": lambda text, gold, _: normalised_string(text, gold),
        HEADLINE: normalised_set,
        "closed-vocabulary set": closed_vocabulary_set,
    }
)
