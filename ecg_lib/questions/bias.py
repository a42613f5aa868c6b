"""Measure how far the question alone gives its answer away (the paper's Table 1 and Figure 2).

*Severity* is how ill the patient is. Here it has two values: the ECG is labelled normal (NORM) or
it is not. If some questions are mostly asked about normal ECGs and others mostly about abnormal
ones, a model can learn answers from the question without looking at the ECG. A *verify* question
asks for yes or no, a *choose* question offers two options, and a *query* question is open.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from ecg_lib.intervals import wilson_limits
from ecg_lib.questions.schema import SHORT_NAMES, template_key
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import YES

_SCHEMA = ("question", "template_id", "kind", "n", "ratio", "ci_low", "ci_high")
KNOWN = ", severity known"


@dataclass(frozen=True)
class Dependence:
    """Dependence between question and severity in `n` rows of `questions` different questions.

    `bits` is their mutual information: 0 if the question tells nothing about severity, at most 1.
    With so many rows and questions, chance alone yields about `bits_by_chance`. `p_value` is that
    of Pearson's chi-square test of independence.
    """

    n: int
    questions: int
    bits: float
    bits_by_chance: float
    p_value: float


def kind_of(rows: pd.DataFrame) -> pd.Series:
    """Return each row's kind, as in templates.yaml: `broad`, `specific`, `noise` or `other`.

    A template that templates.yaml lacks is `noise` if its attribute type is, and `other` if not.
    """
    kinds = {i: t.kind for i, t in load_templates().items()}
    kind = rows.template_id.map(kinds).astype(object)
    unknown = kind.isna()
    return kind.mask(unknown, rows.attribute_type.map({"noise": "noise"}).fillna("other"))


def asks_if_well() -> set[int]:
    """Return the templates in which yes means that nothing is wrong ("Is this ECG normal?")."""
    return {i for i, t in load_templates().items() if t.facet == "normal"}


def _severities(
    rows: pd.DataFrame, normal: pd.Series, by: str, verify_only: bool = True
) -> pd.DataFrame:
    """Return question, template, kind and severity of the rows about one ECG of known severity."""
    single = rows.loc[rows.question_type.str.startswith("single")]
    if verify_only:
        single = single.loc[single.question_type.str.endswith("verify")]
    table = pd.DataFrame(
        {
            "question": single.question if by == "question" else template_key(single),
            "template_id": single.template_id,
            "kind": kind_of(single),
            "normal": single.ecg_id.str[0].map(normal),
        }
    ).dropna(subset="normal")
    return table.assign(normal=table["normal"].astype(bool))


def normal_ratio(
    rows: pd.DataFrame, normal: pd.Series, by: str = "question", verify_only: bool = True
) -> pd.DataFrame:
    """Compute the share of normal ECGs that each question is asked about (Table 1, upper half).

    Parameters
    ----------
    rows : DataFrame
        Question rows. Only those about a single ECG count, and each row counts once.
    normal : Series of bool
        Indexed by ecg_id: whether NORM is among the labels, at any likelihood.
    by : {"question", "template_key"}
        One line per wording, as in the paper, or one per template question (all its wordings).
    verify_only : bool
        Leave out choose and query questions.

    Returns
    -------
    DataFrame
        `question, template_id, kind, n, ratio, ci_low, ci_high` with 95 % Wilson intervals, largest
        ratio first. Rows whose ECG is missing from `normal` are left out.
    """
    table = _severities(rows, normal, by, verify_only)
    if table.empty:
        return pd.DataFrame(columns=list(_SCHEMA))
    grouped = table.groupby(["question", "template_id", "kind"], sort=True)["normal"]
    result = grouped.agg(n="size", k="sum").reset_index()
    result["ratio"] = result.k / result.n
    result["ci_low"], result["ci_high"] = wilson_limits(result.k, result.n)
    order = ["ratio", "question"]
    return result.sort_values(order, ascending=[False, True], ignore_index=True)[list(_SCHEMA)]


def normal_ratio_by_kind(rows: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Compute the share of normal ECGs per kind of question: `kind, n, ratio, ci_low, ci_high`."""
    by_question = normal_ratio(rows, normal)
    by_question["k"] = (by_question.ratio * by_question.n).round().astype(int)
    result = by_question.groupby("kind", as_index=False)[["n", "k"]].sum()
    result["ratio"] = result.k / result.n
    result["ci_low"], result["ci_high"] = wilson_limits(result.k, result.n)
    return result.drop(columns="k")


def severity_information(
    rows: pd.DataFrame, normal: pd.Series, by: str = "template_key"
) -> Dependence:
    """Measure what a verify question tells about the severity of the ECG it is asked about.

    Parameters
    ----------
    rows : DataFrame
        Question rows; only verify questions about a single ECG count.
    normal : Series of bool
        Indexed by ecg_id; rows whose ECG is missing are left out.
    by : {"template_key", "question"}
        Whether all wordings of a template question count as one question or each as its own.

    Returns
    -------
    Dependence
        `bits`, `bits_by_chance` and `p_value` are NaN if no row is left.
    """
    asked = _severities(rows, normal, by)
    n, k = len(asked), asked["question"].nunique()
    if not n:
        return Dependence(0, 0, math.nan, math.nan, math.nan)
    counts = pd.crosstab(asked["question"], asked["normal"]).to_numpy()
    likelihood, pearson = (
        chi2_contingency(counts, correction=False, lambda_=name)
        for name in ("log-likelihood", "pearson")
    )
    nats_to_bits = 1 / (2 * n * math.log(2))
    return Dependence(
        n, k, likelihood.statistic * nats_to_bits, (k - 1) * nats_to_bits, pearson.pvalue
    )


def yes_rate(rows: pd.DataFrame) -> pd.DataFrame:
    """Compute P(yes | question): columns `question_key, question_type, n, n_yes, yes_rate`.

    Rows answered "not sure" count in `n`.
    """
    verify = rows.loc[rows.question_type.str.endswith("verify")]
    frame = pd.DataFrame(
        {
            "question_key": template_key(verify),
            "question_type": verify.question_type,
            "yes": [YES in answer for answer in verify.answer],
        }
    )
    result = frame.groupby(["question_key", "question_type"], as_index=False)["yes"].agg(
        n="size", n_yes="sum"
    )
    return result.assign(yes_rate=result.n_yes / result.n)


def severity_of(rows: pd.DataFrame, normal: pd.Series) -> pd.Series:
    """Return each row's severity: normal, abnormal or unknown.

    For two ECGs the words are joined, as in "normal then abnormal".
    """
    words = {ecg: "normal" if value else "abnormal" for ecg, value in normal.items()}
    return rows.ecg_id.map(lambda ids: " then ".join(words.get(i, "unknown") for i in ids))


def word_counter() -> CountVectorizer:
    """Return the features that every question-only model uses: the words and word pairs present."""
    return CountVectorizer(ngram_range=(1, 2), binary=True)


def question_only(
    train_rows: pd.DataFrame, test_rows: pd.DataFrame, normal: pd.Series | None = None
) -> pd.DataFrame:
    """Measure the accuracy of answering without looking at the ECG.

    Two models that see only the question are fitted on `train_rows`. "majority" recognises the
    template question behind any wording and gives its most frequent answer, or that of the
    question type if it never saw the question. "words" is a logistic regression on the words and
    word pairs of the text, for verify questions only; a wording that it never saw can fool it.
    Compare rows in train wordings (the valid split) with rows in test wordings.

    Parameters
    ----------
    train_rows, test_rows : DataFrame
    normal : Series of bool, optional
        Indexed by ecg_id. Adds "majority, severity known" and "words, severity known": the same
        models, also told whether the ECG (each of two) is normal. An ECG language model is not
        told, but if it sees in an ECG only *that* the patient is ill, it can do as well as these.

    Returns
    -------
    DataFrame
        `question_type` (short name), `method, n, value, ci_low, ci_high`. A row is right if its
        whole answer set is.
    """
    taught, truth = _answers(train_rows), _answers(test_rows)
    types = train_rows.question_type, test_rows.question_type
    keys = tuple(template_key(r) + " | " + r.question_type for r in (train_rows, test_rows))
    verify = tuple(t.str.endswith("verify") for t in types)
    readable = taught[verify[0]].nunique() > 1 and verify[1].any()
    texts = tuple(r.question[v] for r, v in zip((train_rows, test_rows), verify, strict=True))

    said = {"majority": _majority(taught, [keys, types])}
    if readable:
        everybody = tuple(pd.Series("all", index=t.index) for t in texts)
        said["words"] = _words(taught[verify[0]], texts, everybody)
    if normal is not None:
        strata = tuple(severity_of(r, normal) for r in (train_rows, test_rows))
        finer = tuple(k + " | " + s for k, s in zip(keys, strata, strict=True))
        said["majority" + KNOWN] = _majority(taught, [finer, keys, types])
        if readable:
            told = tuple(s[v] for s, v in zip(strata, verify, strict=True))
            said["words" + KNOWN] = _words(taught[verify[0]], texts, told)

    lines = []
    for method, guess in said.items():
        hit = guess == truth.loc[guess.index]
        for question_type, short in SHORT_NAMES.items():
            own = hit[types[1].loc[hit.index] == question_type]
            if len(own):
                low, high = wilson_limits(own.sum(), len(own))
                lines.append((short, method, len(own), own.mean(), low, high))
    return pd.DataFrame(
        lines, columns=["question_type", "method", "n", "value", "ci_low", "ci_high"]
    )


def _answers(rows: pd.DataFrame) -> pd.Series:
    return rows.answer.map(lambda a: "; ".join(sorted(set(a))))


def _majority(taught: pd.Series, groups: list[tuple[pd.Series, pd.Series]]) -> pd.Series:
    """Return the most common training answer of each row's group, or of its next if unseen."""

    def most_common(values: pd.Series) -> str:
        return values.value_counts(sort=False).sort_index().idxmax()

    said = pd.Series(np.nan, index=groups[0][1].index, dtype=object)
    for train, test in groups:
        silent = said.isna()
        said[silent] = test[silent].map(taught.groupby(train).agg(most_common))
    return said


def _words(
    taught: pd.Series, texts: tuple[pd.Series, pd.Series], strata: tuple[pd.Series, pd.Series]
) -> pd.Series:
    """Answer by logistic regression on words, one per stratum; an unseen stratum uses all rows."""
    said = pd.Series(np.nan, index=texts[1].index, dtype=object)
    for stratum in strata[1].unique():
        own = strata[0] == stratum
        if not own.any():
            own = ~own
        asked = strata[1] == stratum
        if taught[own].nunique() == 1:
            said[asked] = taught[own].iloc[0]
            continue
        reader = make_pipeline(word_counter(), LogisticRegression(max_iter=1000))
        said[asked] = reader.fit(texts[0][own], taught[own]).predict(texts[1][asked])
    return said
