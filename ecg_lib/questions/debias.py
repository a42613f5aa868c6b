"""De-biased pre-training data: yes and no in pairs (the paper's Table 1, below), and controls.

Pairing makes P(yes | question) exactly one half. It does not make the share of normal ECGs equal
across questions: an ECG that says yes to a disease is hardly ever normal. Backdoor adjustment as
the paper's equation 6 states it is the reweighting of :func:`severity_weights`; the audit shows
both marginals.
"""

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.questions.schema import template_key
from ecg_lib.questions.vocabulary import NO, YES

PAIR_COLUMNS = ("pair_id", "yes_sample_id", "no_sample_id")


def yes_or_no(rows: pd.DataFrame) -> pd.DataFrame:
    """Verify rows answered yes or no, with their ``key`` and ``yes``; "not sure" is left out."""
    verify = rows.loc[rows.question_type.str.endswith("verify")]
    single = verify.answer.map(lambda a: a[0] if len(a) == 1 else "")
    verify = verify.loc[single.isin([YES, NO])]
    return verify.assign(
        key=template_key(verify) + " | " + verify.question_type, yes=single.loc[verify.index] == YES
    )


def pair_verify(
    rows: pd.DataFrame, seed: int, per_group_max: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Verify rows in pairs: for each template question, one ECG that says yes and one that says no.

    Groups are template question x question type, single and comparison alike; all wordings of a
    question are one group and every row keeps its own. Each row of the rarer answer is used once,
    with equally many rows of the other drawn without replacement.

    Parameters
    ----------
    rows : DataFrame
        Question rows of one split.
    seed : int
    per_group_max : int, optional
        Most pairs of one question.

    Returns
    -------
    rows : DataFrame
        The paired rows in the row schema, in the order of sample_id; each occurs once.
    pairs : DataFrame
        ``pair_id, yes_sample_id, no_sample_id``.
    """
    verify = yes_or_no(rows)
    rng = np.random.default_rng(seed)
    pairs = []
    for _, group in verify.groupby("key", sort=True):
        yes, no = (rng.permutation(group.sample_id[group.yes == value]) for value in (True, False))
        n = min(len(yes), len(no), len(group) if per_group_max is None else per_group_max)
        pairs += zip(yes[:n], no[:n], strict=True)
    table = pd.DataFrame(pairs, columns=list(PAIR_COLUMNS[1:]), dtype="int64")
    table.insert(0, "pair_id", np.arange(len(table)))
    kept = set(table.yes_sample_id) | set(table.no_sample_id)
    paired = rows.loc[rows.sample_id.isin(kept)].sort_values("sample_id", ignore_index=True)
    return paired, table


def unpaired_control(rows: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """``n`` verify rows drawn as they come: the compute-matched control of the paper's ablation.

    "not sure" is left out as in the pairs, so that only the pairing differs.

    Raises
    ------
    DataError
        Fewer than ``n`` rows exist.
    """
    pool = yes_or_no(rows)
    if n > len(pool):
        raise DataError(
            f"unpaired control: {n} verify rows wanted, {len(pool)} exist; ask for fewer"
        )
    chosen = np.random.default_rng(seed).choice(pool.sample_id, size=n, replace=False)
    return rows.loc[rows.sample_id.isin(set(chosen))].sort_values("sample_id", ignore_index=True)


def audit(before: pd.DataFrame, after: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Every verify question before and after pairing.

    Parameters
    ----------
    before, after : DataFrame
        Rows given to and got from :func:`pair_verify`.
    normal : Series of bool
        Indexed by ecg_id.

    Returns
    -------
    DataFrame
        ``question_key`` (template question and type), ``question`` (one of its wordings), ``n_yes,
        n_no`` (before), ``pairs``, and ``yes_rate`` and ``normal_ratio`` before and after. The
        normal ratio is of single questions only; NaN marks what does not exist.
    """

    def marginals(rows: pd.DataFrame) -> pd.DataFrame:
        verify = yes_or_no(rows)
        first = verify.ecg_id.str[0].map(normal).astype(float)
        verify = verify.assign(normal=first.where(verify.question_type.str.startswith("single")))
        groups = verify.groupby("key")
        return pd.DataFrame(
            {
                "question": groups.question.first(),
                "n": groups.size(),
                "n_yes": groups.yes.sum(),
                "normal_ratio": groups.normal.mean(),
            }
        )

    old, new = marginals(before), marginals(after).reindex(marginals(before).index)
    return (
        pd.DataFrame(
            {
                "question": old.question,
                "n_yes": old.n_yes,
                "n_no": old.n - old.n_yes,
                "pairs": new.n_yes.fillna(0).astype(int),
                "yes_rate_before": old.n_yes / old.n,
                "yes_rate_after": new.n_yes / new.n,
                "normal_ratio_before": old.normal_ratio,
                "normal_ratio_after": new.normal_ratio,
            }
        )
        .rename_axis("question_key")
        .reset_index()
    )


def severity_weights(rows: pd.DataFrame, normal: pd.Series, base: float | None = None) -> pd.Series:
    """Weights P(c) / P(c | question) that make severity c independent of the question (equation 6).

    Under these weights the share of normal ECGs within every single-ECG question equals ``base``.
    Rows about two ECGs, about an ECG missing from ``normal``, and of questions asked of one stratum
    only (nothing to weigh: the positivity assumption fails) keep the weight 1.

    Parameters
    ----------
    base : float, optional
        P(normal); the share among the distinct single ECGs of ``rows`` by default.

    Returns
    -------
    Series of float
        Indexed like ``rows``; mean 1 within every question.
    """
    weights = pd.Series(1.0, index=rows.index, name="weight")
    single = rows.loc[rows.question_type.str.startswith("single")]
    stratum = single.ecg_id.str[0].map(normal).dropna().astype(bool)
    single = single.loc[stratum.index]
    if single.empty:
        return weights
    if base is None:
        base = float(stratum.groupby(single.ecg_id.str[0]).first().mean())
    key = template_key(single) + " | " + single.question_type
    share = stratum.groupby(key).transform("mean")
    adjustable = (share > 0) & (share < 1)
    weight = np.where(
        stratum, base / share.where(adjustable), (1 - base) / (1 - share.where(adjustable))
    )
    weights.loc[single.index] = np.where(adjustable, weight, 1.0)
    return weights
