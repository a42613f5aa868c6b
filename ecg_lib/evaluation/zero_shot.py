"""Zero-shot (Table 4): nine labels by P(yes) of the LLM, and by cosine to their text for CLIP."""

from __future__ import annotations

import hashlib
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
from ecg_lib.evaluation.resamples import Resamples
from ecg_lib.intervals import auc_over_seeds, macro_auc
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT, zero_shot_near, zero_shot_targets
from ecg_lib.objectives.parts.clip import EcgClip


def label_text(targets: pd.DataFrame) -> dict[str, str]:
    """The labels that a cohort can carry, in words; those blank in Table 4 are left out."""
    return {label: text for label, text in LABEL_TEXT.items() if targets[label].notna().any()}


def count_cells(records: pd.DataFrame, title: str) -> list[dict]:
    """ECGs that carry each label (row `title`), and those with what is near it (", near").

    Labels that the data set cannot carry have no cell; n counts the ECGs that could.
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
    """P(yes) of `prompt` with each label's name, (ECGs, labels)."""
    questions = [prompt.format(label=name) for name in names.values()]
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
    """Cosine of each ECG to each label's text, (ECGs, labels)."""
    cls = torch.from_numpy(tokens.cls[tokens.rows(ecg_ids)].astype(np.float32))
    ecg = F.normalize(clip.ecg_projection(cls), dim=-1)  # (N, E)
    texts = [prompt.format(label=name) for name in names.values()]
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
    """AUC (percent) with interval and n, the number of positives, one row a label.

    Parameters
    ----------
    scores : (ECGs, labels)
    targets : (ECGs, labels) in the same order; NA where an ECG's cohort cannot carry the label:
        such ECGs are left out, and a label without any other gets no row.
    groups : patients; the bootstrap draws whole patients, since ECGs of one are alike.
    drawn : resamples of these patients that were drawn before, instead of `resamples` new ones.
    """
    cells, groups = [], None if groups is None else np.asarray(groups)
    weights = None if drawn is None else drawn.weights(groups)
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
            groups=None if groups is None else groups[known],
            weights=None if weights is None else weights[:, known],
        )
        cells.append({"column": label, **cell.percent()})
    return pd.DataFrame(cells)


def rank_correlation(scores: pd.DataFrame) -> float:
    """Spearman's correlation of two labels' scores over the ECGs, mean over pairs of labels.

    1: one opinion of an ECG serves all labels. NaN for a single label or constant scores.
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
    """Each method's mean AUC over labels (percent), its rank correlation, and AUC differences.

    Parameters
    ----------
    scores : method -> (ECGs, labels); the others are subtracted from the last
    targets, groups, drawn : as for `auc_table`; a label unknown of any ECG is left out

    Returns
    -------
    list of cells: row (a method, or "<last> - <other>", paired by ECG), column ("mean AUC" or
    "rank correlation", from -1 to 1), value, n (labels averaged), ci_low, ci_high.
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
    """Which share of some ECGs was trained on: the audit for leakage.

    ECGs are compared by what was recorded in lead II, not by name: two cohorts may give the same
    ECG two names, or one name to two ECGs.
    """

    def prints(of: EcgStore, ids: Sequence[str]) -> list[bytes]:
        rows = (of.signals[of.row_of(ecg_id), 1] for ecg_id in ids)
        return [hashlib.sha256(row.tobytes()).digest() for row in rows]

    known = set(prints(training, trained_ids))
    return float(np.mean([one in known for one in prints(store, ecg_ids)]))
