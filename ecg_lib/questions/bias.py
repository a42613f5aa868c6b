"""How far the question alone gives the answer away (the paper's Table 1 and Figure 2)."""

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from statsmodels.stats.proportion import proportion_confint

from ecg_lib.questions.schema import SHORT_NAMES, template_key
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import YES

_SCHEMA = ("question", "template_id", "kind", "n", "ratio", "ci_low", "ci_high")


def kind_of(rows: pd.DataFrame) -> pd.Series:
    """``broad``, ``specific``, ``noise`` or ``other`` by template, as templates.yaml says."""
    kinds = {i: t.kind for i, t in load_templates().items()}
    kind = rows.template_id.map(kinds).astype(object)
    unknown = kind.isna()
    return kind.mask(unknown, rows.attribute_type.map({"noise": "noise"}).fillna("other"))


def interval(k: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % Wilson interval of ``k`` of ``n``."""
    return proportion_confint(np.asarray(k), np.asarray(n), method="wilson")


def normal_ratio(
    rows: pd.DataFrame, normal: pd.Series, by: str = "question", verify_only: bool = True
) -> pd.DataFrame:
    """Share of normal ECGs among those of which each question is asked (Table 1, upper half).

    Parameters
    ----------
    rows : DataFrame
        Question rows; only those about a single ECG count, weighted by row.
    normal : Series of bool
        Indexed by ecg_id: NORM among the labels at any likelihood.
    by : {"question", "template_key"}
        One line per wording, as the paper prints, or per template question.
    verify_only : bool
        Leave choose and query questions out.

    Returns
    -------
    DataFrame
        ``question, template_id, kind, n, ratio, ci_low, ci_high``, Wilson intervals, largest ratio
        first. Rows whose ECG is missing from ``normal`` are left out.
    """
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
    if table.empty:
        return pd.DataFrame(columns=list(_SCHEMA))
    table["normal"] = table["normal"].astype(bool)
    grouped = table.groupby(["question", "template_id", "kind"], sort=True)["normal"]
    result = grouped.agg(n="size", k="sum").reset_index()
    result["ratio"] = result.k / result.n
    result["ci_low"], result["ci_high"] = interval(result.k, result.n)
    order = ["ratio", "question"]
    return result.sort_values(order, ascending=[False, True], ignore_index=True)[list(_SCHEMA)]


def normal_ratio_by_kind(rows: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """The same share with all questions of a kind together: ``kind, n, ratio, ci_low, ci_high``."""
    by_question = normal_ratio(rows, normal)
    by_question["k"] = (by_question.ratio * by_question.n).round().astype(int)
    result = by_question.groupby("kind", as_index=False)[["n", "k"]].sum()
    result["ratio"] = result.k / result.n
    result["ci_low"], result["ci_high"] = interval(result.k, result.n)
    return result.drop(columns="k")


def yes_rate(rows: pd.DataFrame) -> pd.DataFrame:
    """P(yes | question): columns ``question_key, question_type, n, n_yes, yes_rate``.

    "not sure" counts among ``n``.
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


def question_only(train_rows: pd.DataFrame, test_rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of answering without looking at the ECG.

    Two readers of the question are fitted on ``train_rows``. "majority" recognises the template
    question behind any wording and gives its most frequent answer (of the question type, if never
    seen). "words" is a logistic regression on the words and word pairs of the text, for verify
    only: a wording it never saw can fool it. Compare ``test_rows`` in train wordings (valid) with
    those in test wordings.

    Returns
    -------
    DataFrame
        ``question_type`` (short name), ``method, n, value, ci_low, ci_high``; a row is right where
        the answer set is.
    """

    def answers(rows: pd.DataFrame) -> pd.Series:
        return rows.answer.map(lambda a: "; ".join(sorted(set(a))))

    def most_common(values: pd.Series) -> str:
        return values.value_counts(sort=False).sort_index().idxmax()

    truth, taught = answers(test_rows), answers(train_rows)
    by_type = taught.groupby(train_rows.question_type).agg(most_common)
    key_train, key_test = (
        template_key(r) + " | " + r.question_type for r in (train_rows, test_rows)
    )
    by_question = taught.groupby(key_train).agg(most_common)
    majority = key_test.map(by_question).fillna(test_rows.question_type.map(by_type))
    right = {"majority": majority == truth}

    verify_train, verify_test = (
        r.question_type.str.endswith("verify") for r in (train_rows, test_rows)
    )
    if taught[verify_train].nunique() > 1 and verify_test.any():
        reader = make_pipeline(
            CountVectorizer(ngram_range=(1, 2), binary=True), LogisticRegression(max_iter=1000)
        )
        reader.fit(train_rows.question[verify_train], taught[verify_train])
        guess = pd.Series(
            reader.predict(test_rows.question[verify_test]), index=test_rows.index[verify_test]
        )
        right["words"] = guess == truth[verify_test]

    lines = []
    for method, hit in right.items():
        for question_type, short in SHORT_NAMES.items():
            own = hit[test_rows.question_type.loc[hit.index] == question_type]
            if len(own):
                low, high = interval(own.sum(), len(own))
                lines.append((short, method, len(own), own.mean(), low, high))
    return pd.DataFrame(
        lines, columns=["question_type", "method", "n", "value", "ci_low", "ci_high"]
    )
