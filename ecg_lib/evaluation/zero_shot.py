"""Zero-shot labels (Table 4): by P(yes) for the ECG-LLM, by cosine to the label's text for CLIP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from ecg_lib.data.store import EcgStore
from ecg_lib.ecg_llm.answering import score_yes_to_each
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.evaluation.label_prompt import filled
from ecg_lib.evaluation.resamples import Resamples
from ecg_lib.evaluation.same_ecg import same_ecgs
from ecg_lib.intervals import auc_over_seeds, macro_auc
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT, zero_shot_near, zero_shot_targets
from ecg_lib.objectives.parts.clip import EcgClip


def label_text(targets: pd.DataFrame) -> dict[str, str]:
    """Return the labels that a cohort can carry, in words; those blank in Table 4 are left out."""
    return {label: text for label, text in LABEL_TEXT.items() if targets[label].notna().any()}


def count_cells(records: pd.DataFrame, title: str) -> list[dict]:
    """Count the ECGs that carry each label, and those that have only a finding near it.

    A finding near a label is, for example, an incomplete block.

    Parameters
    ----------
    records : DataFrame
        `EcgStore.records`.
    title : str
        Name of the cohort.

    Returns
    -------
    list of dict
        row (`title` or "<title>, near"), column (label), value (ECGs), n (ECGs whose data set can
        carry the label). A label that no ECG can carry has no cell.
    """
    cells = []
    for row, table in (
        (title, zero_shot_targets(records)),
        (f"{title}, near", zero_shot_near(records)),
    ):
        for label in table.columns[table.notna().any()]:
            known = table[label].dropna()
            cells.append({"row": row, "column": label, "value": int(known.sum()), "n": len(known)})
    return cells


def llm_scores(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    tokens: EcgTokens,
    ecg_ids: list[str],
    names: Mapping[str, str],
    prompt: str,
    batch_size: int = 128,
) -> pd.DataFrame:
    """Score ECGs by P(yes) of the ECG-LLM to a question about each label.

    Parameters
    ----------
    tokens : EcgTokens
        Tokens of the cohort that holds the ECGs.
    ecg_ids : list of str
    names : mapping of str to str
        The labels, and their names in words.
    prompt : str
        The question, with "{label}" in the place of the name; see `label_prompt`.

    Returns
    -------
    (ECGs, labels) DataFrame
    """
    questions = [filled(prompt, name) for name in names.values()]
    p_yes = score_yes_to_each(model, processor, questions, ecg_ids, tokens, batch_size)
    return pd.DataFrame(p_yes, ecg_ids, list(names))


@torch.no_grad()
def clip_scores(
    clip: EcgClip,
    tokenizer,
    tokens: EcgTokens,
    ecg_ids: list[str],
    names: Mapping[str, str],
    prompt: str = "{label}",
) -> pd.DataFrame:
    """Score ECGs by the cosine to each label's text in the CLIP space.

    Parameters are those of `llm_scores`; `prompt` is the text of a label.

    Returns
    -------
    (ECGs, labels) DataFrame
    """
    cls = torch.from_numpy(tokens.cls[tokens.rows(ecg_ids)].astype(np.float32))
    ecg = F.normalize(clip.ecg_projection(cls), dim=-1)  # (N, E)
    texts = [filled(prompt, name) for name in names.values()]
    text = tokenizer(texts, padding=True, return_tensors="pt")
    words = clip.embed_text(text["input_ids"], text["attention_mask"])  # (labels, E)
    return pd.DataFrame((ecg @ words.T).numpy(), ecg_ids, list(names))


def auc_table(
    scores: pd.DataFrame,
    targets: pd.DataFrame,
    resamples: int,
    seed: int,
    min_positives: int,
    groups: Sequence[str] | None = None,
    drawn: Resamples | None = None,
) -> pd.DataFrame:
    """Return the AUC of each label with its interval.

    Parameters
    ----------
    scores : (N, labels) DataFrame
    targets : (N, labels) DataFrame of nullable bool
        In the same order; NA where an ECG's cohort cannot carry the label. Such ECGs are left out,
        and a label for which no ECG is left gets no row.
    min_positives : int
        With fewer positives or fewer negatives the AUC is NaN.
    groups : (N,) str, optional
        Patients. The bootstrap draws whole patients, because the ECGs of one patient are alike.
    drawn : Resamples, optional
        Earlier resamples of these patients, used instead of `resamples` new ones.

    Returns
    -------
    DataFrame
        One row per label: column (label), value (AUC), n (positives), ci_low, ci_high; percent.
    """
    patients = None if groups is None else np.asarray(groups)
    cells, weights = [], None
    if drawn is not None:
        assert patients is not None  # earlier resamples are of patients
        weights = drawn.weights(patients)
    for label in scores.columns:
        known = targets[label].notna().to_numpy()
        if not known.any():
            continue
        cell = auc_over_seeds(
            targets[label][known].to_numpy(dtype=bool),
            scores[label].to_numpy()[known],
            resamples=resamples,
            seed=seed,
            min_positives=min_positives,
            groups=None if patients is None else patients[known],
            weights=None if weights is None else weights[:, known],
        )
        cells.append({"column": label, **cell.percent()})
    return pd.DataFrame(cells)


def rank_correlation(scores: pd.DataFrame) -> float:
    """Return Spearman's correlation between two labels' scores, averaged over pairs of labels.

    A value of 1 means that all labels rank the ECGs alike. NaN for a single label or constant
    scores.

    Parameters
    ----------
    scores : (N, labels) DataFrame
    """
    above = np.triu_indices(scores.shape[1], 1)
    found = scores.corr("spearman").to_numpy()[above]
    return float(found.mean()) if len(found) else float("nan")


def summary_cells(
    scores: Mapping[str, pd.DataFrame],
    targets: pd.DataFrame,
    resamples: int,
    seed: int,
    min_positives: int,
    groups: Sequence[str] | None = None,
    drawn: Resamples | None = None,
) -> list[dict]:
    """Return each method's mean AUC over labels, its rank correlation, and AUC differences.

    Parameters
    ----------
    scores : mapping of method to (N, labels) DataFrame
        The other methods are subtracted from the last one.
    targets, groups, drawn : as for `auc_table`
        A label that is NA for any ECG is left out.

    Returns
    -------
    list of dict
        row (a method, or "<last> - <other>", paired by ECG), column ("mean AUC" in percent, or
        "rank correlation" from -1 to 1), value, n (labels averaged), ci_low, ci_high.
    """
    labels = [label for label in next(iter(scores.values())) if targets[label].notna().all()]
    if not labels:
        return []
    truth = targets[labels].to_numpy(dtype=bool)
    enough = np.minimum(truth.sum(0), (~truth).sum(0)) >= max(min_positives, 1)
    weights = None if drawn is None or groups is None else drawn.weights(groups)
    values = {name: table[labels].to_numpy()[None] for name, table in scores.items()}

    def mean_auc(name: str, minus: str | None = None) -> dict:
        other = None if minus is None else values[minus]
        settings = resamples, seed, min_positives, groups, weights
        return macro_auc(truth, values[name], other, *settings).percent() | {"n": int(enough.sum())}

    cells: list[dict] = []
    last = list(scores)[-1]
    for name in scores:
        alike = rank_correlation(scores[name][labels])
        cells += [
            {"row": name, "column": "mean AUC", **mean_auc(name)},
            {"row": name, "column": "rank correlation", "value": alike, "n": len(labels)},
        ]
    for name in scores:
        if name != last:
            cells.append({"row": f"{last} - {name}", "column": "mean AUC", **mean_auc(last, name)})
    return cells


def share_seen(
    store: EcgStore, ecg_ids: Sequence[str], training: EcgStore, trained_ids: Sequence[str]
) -> float:
    """Return the share of some ECGs that was trained on, to audit for leakage.

    ECGs are compared by their waves, not by name, because two cohorts may give one ECG two names or
    two ECGs one name. Copies at another rate, scale or resolution are found; see `same_ecg`.

    Parameters
    ----------
    store, ecg_ids : EcgStore, sequence of str
        The ECGs to check.
    training, trained_ids : EcgStore, sequence of str
        The ECGs that were trained on.

    Returns
    -------
    float
        From 0 to 1.
    """
    rows = (
        [of.row_of(ecg_id) for ecg_id in ids]
        for of, ids in ((store, ecg_ids), (training, trained_ids))
    )
    pairs = same_ecgs(store, next(rows), training, next(rows))
    return pairs["one"].nunique() / len(ecg_ids)
