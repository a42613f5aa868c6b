"""De-bias yes/no questions by pairing (lower half of the paper's Table 1) or by alternatives to it.

*Severity* is how ill the patient is: normal or not, or a finer grade. A model has two shortcuts
past the findings in an ECG: the usual answer to the question, P(yes | question), and severity,
because ill patients more often have the finding that is asked about.

* Pairs (`pair_verify`) match a yes with a no to the same question. P(yes | question) is then
  exactly one half. The share of normal ECGs still differs between questions: an ECG that says yes
  to a disease is hardly ever normal, so the rule "yes if ill" is right more often than before.
* Pairs within severity (`pair_within_severity`) match a yes with a no of equal severity. The rule
  "yes if ill" is then right half of the time.
* Backdoor adjustment (the paper's equation 6) makes the share of normal ECGs equal across questions
  and leaves P(yes | question) unequal. It draws rows from the strata of severity
  (`stratify_verify`) or weights them (`severity_weights`).

`ecg_lib.questions.audit` shows P(yes | question) and P(normal | question) under each method.
"""

import numpy as np
import pandas as pd

from ecg_lib.errors import DataError
from ecg_lib.questions.schema import template_key
from ecg_lib.questions.vocabulary import NO, YES

PAIR_COLUMNS = ("pair_id", "yes_sample_id", "no_sample_id")


def yes_or_no(rows: pd.DataFrame) -> pd.DataFrame:
    """Return verify rows answered yes or no, with columns `key` and `yes`; drop "not sure"."""
    verify = rows.loc[rows.question_type.str.endswith("verify")]
    single = verify.answer.map(lambda a: a[0] if len(a) == 1 else "")
    verify = verify.loc[single.isin([YES, NO])]
    return verify.assign(
        key=template_key(verify) + " | " + verify.question_type, yes=single.loc[verify.index] == YES
    )


def pair_verify(
    rows: pd.DataFrame, seed: int, per_group_max: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pair verify rows: for each template question, one ECG that says yes and one that says no.

    A group is one template question of one question type, about one ECG or two. All wordings of a
    question are in one group, and every row keeps its own wording. In each group, all rows of the
    rarer answer are used once, with equally many rows of the other drawn without replacement.

    Parameters
    ----------
    rows : DataFrame
        Question rows of one split.
    seed : int
    per_group_max : int, optional
        Maximum number of pairs per question.

    Returns
    -------
    rows : DataFrame
        The paired rows in the row schema, ordered by sample_id; each occurs once.
    pairs : DataFrame
        `pair_id, yes_sample_id, no_sample_id`.
    """
    return _paired(rows, yes_or_no(rows), ["key"], seed, per_group_max)


def pair_within_severity(
    rows: pd.DataFrame, severity: pd.Series, seed: int, per_group_max: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pair each yes with a no of equal severity, so that severity does not predict the answer.

    Like `pair_verify`, but a yes and a no to one question are paired only if their ECGs have the
    same severity. In a comparison, the two first ECGs must match and so must the two second ones.

    Parameters
    ----------
    severity : Series
        Stratum by ecg_id: normal or not, or a grade (`ecg_lib.questions.severity.strata`).
        Rows about an ECG that it lacks are left out.
    per_group_max : int, optional
        Maximum number of pairs per question and severity.
    """
    verify, severity = yes_or_no(rows), severity.dropna()
    strata = verify.ecg_id.map(lambda ids: "|".join(str(severity.get(i, "")) for i in ids))
    known = verify.ecg_id.map(lambda ids: all(i in severity.index for i in ids))
    verify = verify.assign(stratum=strata).loc[known]
    return _paired(rows, verify, ["key", "stratum"], seed, per_group_max)


def _paired(
    rows: pd.DataFrame, verify: pd.DataFrame, by: list[str], seed: int, per_group_max: int | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    pairs: list[tuple[int, int]] = []
    for _, group in verify.groupby(by, sort=True):
        yes, no = (rng.permutation(group.sample_id[group.yes == value]) for value in (True, False))
        n = min(len(yes), len(no), len(group) if per_group_max is None else per_group_max)
        pairs += zip(yes[:n], no[:n], strict=True)
    table = pd.DataFrame(pairs, columns=list(PAIR_COLUMNS[1:]), dtype="int64")
    table.insert(0, "pair_id", np.arange(len(table)))
    kept = set(table.yes_sample_id) | set(table.no_sample_id)
    paired = rows.loc[rows.sample_id.isin(kept)].sort_values("sample_id", ignore_index=True)
    return paired, table


def unpaired_control(rows: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Draw `n` verify rows without pairing: the compute-matched control of the paper's ablation.

    "not sure" is left out as in the pairs, so that only the pairing differs.

    Raises
    ------
    DataError
        Fewer than `n` rows exist.
    """
    pool = yes_or_no(rows)
    if n > len(pool):
        raise DataError(
            f"unpaired control: {n} verify rows wanted, but only {len(pool)} exist; ask for fewer"
        )
    chosen = np.random.default_rng(seed).choice(pool.sample_id, size=n, replace=False)
    return rows.loc[rows.sample_id.isin(set(chosen))].sort_values("sample_id", ignore_index=True)


def base_share(rows: pd.DataFrame, normal: pd.Series) -> float:
    """Return P(normal) among the distinct ECGs of questions about one ECG; NaN if there are none.

    Which ECGs are asked about at all may also depend on severity. If the share of normal ECGs in
    the cohort is known, use that instead.
    """
    single = rows.loc[rows.question_type.str.startswith("single")]
    return float(pd.Series(single.ecg_id.str[0].unique()).map(normal).astype(float).mean())


def positivity(rows: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Check whether each question about one ECG is asked about both normal and abnormal ECGs.

    Adjustment for severity needs this (the positivity assumption): a question asked in one stratum
    only says nothing about the other.

    Parameters
    ----------
    rows : DataFrame
    normal : Series of bool
        Indexed by ecg_id; rows whose ECG is missing are left out.

    Returns
    -------
    DataFrame
        `question_key` (template question and type), `n, n_normal, n_abnormal`, and `holds`:
        neither count is 0.
    """
    strata = _strata(rows, normal)
    groups = strata.groupby("key")["normal"]
    table = groups.agg(n="size", n_normal="sum").rename_axis("question_key").reset_index()
    table["n_abnormal"] = table.n - table.n_normal
    return table.assign(holds=(table.n_normal > 0) & (table.n_abnormal > 0))


def stratify_verify(
    rows: pd.DataFrame, normal: pd.Series, seed: int, base: float | None = None
) -> pd.DataFrame:
    """Draw verify rows so that each question is asked about the base share of normal ECGs.

    This is backdoor adjustment by stratifying on severity. Within a stratum, rows are drawn
    regardless of their answer and without replacement, as many as the rarer stratum allows. Each
    question's share is exact to within one row.

    Parameters
    ----------
    rows : DataFrame
        Question rows of one split.
    normal : Series of bool
        Indexed by ecg_id.
    seed : int
    base : float, optional
        P(normal), between 0 and 1; `base_share` of `rows` by default.

    Returns
    -------
    DataFrame
        Rows in the row schema, ordered by sample_id; "not sure" is left out as in the pairs.
        Questions about one ECG that are asked in one stratum only are lost (see `positivity`), as
        are rows about one ECG that is missing from `normal`. All comparisons are kept.

    Raises
    ------
    DataError
        `base` is not between 0 and 1.
    """
    verify = yes_or_no(rows)
    rng = np.random.default_rng(seed)
    kept = set(verify.sample_id[verify.question_type.str.startswith("comparison")])
    strata = _strata(verify, normal)
    strata["sample_id"] = verify.sample_id.loc[strata.index]
    if len(strata):
        base = _checked(base_share(rows, normal) if base is None else base)
    for _, group in strata.groupby("key", sort=True):
        assert base is not None  # set above, since there are groups
        well, ill = (rng.permutation(group.sample_id[group.normal == v]) for v in (True, False))
        # 1e-9 absorbs rounding: 3 / (1 - 0.7) is 9.999999999999998 and must give 10 rows, not 9.
        total = int(min(len(well) / base, len(ill) / (1 - base)) + 1e-9)
        # Round at random: rounding one way would make questions of equal size miss the base share
        # in the same direction.
        n_well = int(total * base + rng.random())
        kept |= set(well[:n_well]) | set(ill[: total - n_well])
    return rows.loc[rows.sample_id.isin(kept)].sort_values("sample_id", ignore_index=True)


def severity_weights(
    rows: pd.DataFrame,
    normal: pd.Series,
    base: float | None = None,
    stabilised: bool = True,
    truncate: float = 0.0,
    one_stratum: str = "keep",
) -> pd.Series:
    """Compute weights that make severity c independent of the question x (equation 6).

    Inverse-probability weights are 1 / P(x | c). Stabilised by P(x), they become P(c) / P(c | x)
    by Bayes' rule. With either, the weighted share of normal ECGs in every question about one ECG
    equals `base`. Rows about two ECGs, or about an ECG missing from `normal`, keep the weight 1.

    Parameters
    ----------
    rows : DataFrame
    normal : Series of bool
        Indexed by ecg_id.
    base : float, optional
        P(normal), between 0 and 1; `base_share` of `rows` by default.
    stabilised : bool
        If true, each question counts as often as it is asked; if false, all count equally.
    truncate : float
        Share of the weights at either end, below one half, that is clipped to the nearest weight
        inside. This lowers the variance and brings back some of the bias, because the shares of
        normal ECGs are then no longer equal.
    one_stratum : {"keep", "drop", "refuse"}
        Treatment of questions asked in one stratum only, which cannot be adjusted (see
        `positivity`): give their rows the weight 1, the weight 0, or raise an error.

    Returns
    -------
    Series of float
        Indexed like `rows`. Without truncation, the mean weight is 1 within every question if
        `stabilised`, and over all adjusted rows if not.

    Raises
    ------
    DataError
        `base`, `truncate` or `one_stratum` is invalid, or a question is refused.
    """
    if one_stratum not in ("keep", "drop", "refuse"):
        raise DataError(f"one_stratum {one_stratum!r}: unknown; use keep, drop or refuse")
    if not 0 <= truncate < 0.5:
        raise DataError(f"truncate {truncate}: must lie in [0, 0.5)")
    weights = pd.Series(1.0, index=rows.index, name="weight")
    strata = _strata(rows, normal)
    if strata.empty:
        return weights
    well = strata.normal
    share = well.groupby(strata.key).transform("mean")
    adjustable = (share > 0) & (share < 1)
    if one_stratum == "refuse" and not adjustable.all():
        raise DataError(
            f"severity weights: question {strata.key[~adjustable].iloc[0]!r} is asked in only "
            f"one stratum ({strata.key[~adjustable].nunique()} such questions), so it cannot be "
            "adjusted; set one_stratum to drop or keep"
        )
    weights.loc[strata.index[~adjustable]] = 0.0 if one_stratum == "drop" else 1.0
    if not adjustable.any():
        return weights
    base = _checked(base_share(rows, normal) if base is None else base)
    weight = pd.Series(np.where(well, base / share, (1 - base) / (1 - share)), index=well.index)
    weight = weight[adjustable]
    if not stabilised:
        asked = strata.key[adjustable]
        weight *= len(asked) / asked.nunique() / asked.map(asked.value_counts())
    if truncate:
        weight = weight.clip(*np.quantile(weight, [truncate, 1 - truncate]))
    weights.loc[weight.index] = weight
    return weights


def effective_n(weights: pd.Series) -> float:
    """Return Kish's effective sample size: the rows of equal weight that would be as informative.

    It is (sum w)^2 / sum w^2, and 0 if no weight is positive.
    """
    return float(weights.sum() ** 2 / (weights**2).sum()) if (weights > 0).any() else 0.0


def _strata(rows: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Return `key` and `normal` of the rows about a single ECG whose severity is known."""
    single = rows.loc[rows.question_type.str.startswith("single")]
    stratum = single.ecg_id.str[0].map(normal).dropna().astype(bool)
    single = single.loc[stratum.index]
    return pd.DataFrame(
        {"key": template_key(single) + " | " + single.question_type, "normal": stratum}
    )


def _checked(base: float) -> float:
    if not 0 < base < 1:
        raise DataError(f"base {base}: the share of normal ECGs must lie strictly between 0 and 1")
    return base
