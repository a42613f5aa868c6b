"""De-biased pre-training data: yes and no in pairs (the paper's Table 1, below), and alternatives.

Pairing makes P(yes | question) exactly one half. It does not make the share of normal ECGs equal
across questions: an ECG that says yes to a disease is hardly ever normal, so that "yes if ill" is
worth more than before. Pairs within severity take that away too. Backdoor adjustment as
the paper's equation 6 states it does that and leaves P(yes | question) unequal: by drawing rows
from the strata of severity (:func:`stratify_verify`) or by weighing them
(:func:`severity_weights`). :mod:`ecg_lib.questions.audit` shows both marginals of all.
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
    return _paired(rows, yes_or_no(rows), ["key"], seed, per_group_max)


def pair_within_severity(
    rows: pd.DataFrame, severity: pd.Series, seed: int, per_group_max: int | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs whose yes and no are equally ill, so that illness tells nothing of the answer either.

    As :func:`pair_verify`, but a yes and a no of one question are paired only if their ECGs have
    the same severity; in a comparison the first ECGs have, and the second ones.

    Parameters
    ----------
    severity : Series
        A stratum by ecg_id: normal or not, or a grade (:func:`ecg_lib.questions.severity.strata`).
        Rows about an ECG that it lacks are left out.
    per_group_max : int, optional
        Most pairs of one question within one severity.
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
    pairs = []
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


def base_share(rows: pd.DataFrame, normal: pd.Series) -> float:
    """P(normal) among the distinct ECGs that questions about one ECG ask about; NaN without any.

    Whom one asks at all may depend on severity too: give the share of the cohort where it is known.
    """
    single = rows.loc[rows.question_type.str.startswith("single")]
    return float(pd.Series(single.ecg_id.str[0].unique()).map(normal).astype(float).mean())


def positivity(rows: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """Whether each question about one ECG is asked of both strata, without which nothing adjusts.

    Parameters
    ----------
    rows : DataFrame
    normal : Series of bool
        Indexed by ecg_id; rows whose ECG is missing are left out.

    Returns
    -------
    DataFrame
        ``question_key`` (template question and type), ``n, n_normal, n_abnormal``, and ``holds``:
        neither is 0.
    """
    strata = _strata(rows, normal)
    groups = strata.groupby("key")["normal"]
    table = groups.agg(n="size", n_normal="sum").rename_axis("question_key").reset_index()
    table["n_abnormal"] = table.n - table.n_normal
    return table.assign(holds=(table.n_normal > 0) & (table.n_abnormal > 0))


def stratify_verify(
    rows: pd.DataFrame, normal: pd.Series, seed: int, base: float | None = None
) -> pd.DataFrame:
    """Verify rows drawn so that each question is asked of normal ECGs in the base share.

    Backdoor adjustment by stratifying on severity: within a stratum rows are drawn whatever they
    answer, without replacement, and as many as the rarer stratum allows. Shares are exact to one
    row of a question.

    Parameters
    ----------
    rows : DataFrame
        Question rows of one split.
    normal : Series of bool
        Indexed by ecg_id.
    seed : int
    base : float, optional
        P(normal), between 0 and 1; :func:`base_share` of ``rows`` by default.

    Returns
    -------
    DataFrame
        Rows in the row schema, in the order of sample_id; "not sure" is left out as in the pairs.
        Questions about one ECG asked of one stratum only are lost (see :func:`positivity`), as are
        rows about an ECG missing from ``normal``. Comparisons stay as they come.

    Raises
    ------
    DataError
        ``base`` is not between 0 and 1.
    """
    verify = yes_or_no(rows)
    rng = np.random.default_rng(seed)
    kept = set(verify.sample_id[verify.question_type.str.startswith("comparison")])
    strata = _strata(verify, normal)
    strata["sample_id"] = verify.sample_id.loc[strata.index]
    if len(strata):
        base = _checked(base_share(rows, normal) if base is None else base)
    for _, group in strata.groupby("key", sort=True):
        well, ill = (rng.permutation(group.sample_id[group.normal == v]) for v in (True, False))
        # A hair more, so that 3 / 0.3 gives 10 rows and not 9.
        total = int(min(len(well) / base, len(ill) / (1 - base)) + 1e-9)
        # Rounded by lot: always up or always down, questions of one size would miss the base alike.
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
    """Weights that make severity c independent of the question x (equation 6).

    Inverse-probability weights are 1 / P(x | c); stabilised by P(x) they are, by Bayes,
    P(c) / P(c | x). Under either the share of normal ECGs within every single-ECG question equals
    ``base``. Rows about two ECGs or about an ECG missing from ``normal`` keep the weight 1.

    Parameters
    ----------
    rows : DataFrame
    normal : Series of bool
        Indexed by ecg_id.
    base : float, optional
        P(normal), between 0 and 1; :func:`base_share` of ``rows`` by default.
    stabilised : bool
        Each question counts as often as it is asked; otherwise all questions count alike.
    truncate : float
        Share of the weights at either end, below one half, that is cut to the nearest one within:
        less variance for some of the bias back, for the shares are then no longer equal.
    one_stratum : {"keep", "drop", "refuse"}
        Questions asked of one stratum only cannot be adjusted (see :func:`positivity`): their rows
        keep the weight 1, get the weight 0, or are an error.

    Returns
    -------
    Series of float
        Indexed like ``rows``. Untruncated, the mean is 1 within every question if ``stabilised``,
        and over all adjusted rows if not.

    Raises
    ------
    DataError
        ``base``, ``truncate`` or ``one_stratum`` is impossible, or a question is refused.
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
            f"severity weights: question {strata.key[~adjustable].iloc[0]!r} is asked of one "
            f"stratum only ({strata.key[~adjustable].nunique()} such); drop or keep these"
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
    """How many rows of equal weight would be as good as these (Kish): (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / (weights**2).sum()) if (weights > 0).any() else 0.0


def _strata(rows: pd.DataFrame, normal: pd.Series) -> pd.DataFrame:
    """``key`` and ``normal`` of the rows about a single ECG whose severity is known."""
    single = rows.loc[rows.question_type.str.startswith("single")]
    stratum = single.ecg_id.str[0].map(normal).dropna().astype(bool)
    single = single.loc[stratum.index]
    return pd.DataFrame(
        {"key": template_key(single) + " | " + single.question_type, "normal": stratum}
    )


def _checked(base: float) -> float:
    if not 0 < base < 1:
        raise DataError(f"base {base}: the share of normal ECGs must lie between 0 and 1")
    return base
