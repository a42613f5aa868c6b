"""The aligned projector of a run, from which every arm starts, and scores from its slots alone.

It is saved as an ECG-LLM without adapters, so that the arm "alignment only" can answer with it
directly.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file
from transformers import set_seed

from ecg_lib.ecg_llm.alignment import align
from ecg_lib.ecg_llm.frozen_llm import embeddings_of, load_llm
from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.evaluation.slot_names import name_scores
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.training.cache import key_of, train_or_load, version_of, why_not_current

_SCALE = "scale.json"


def alignment_key(run: LlmExperiment) -> dict[str, str]:
    """Return the fingerprint of all that the aligned projector depends on.

    It is empty if the profile has no alignment.
    """
    if not run.config.alignment.epochs:
        return {}
    return key_of(
        align,
        EcgLlm,
        params=[run.config.seed, asdict(run.config.alignment)],
        tokens=(run.tokens.folder / "encoded.json").read_text(),  # names encoder and ECGs
        llm=version_of(run.llm),
    )


def aligned_folder(run: LlmExperiment) -> Path:
    """Return the folder of a run's aligned projector.

    A run below another shares the projector beside its language model if the fingerprints agree.
    """
    shared = (run.llm_home or run.home) / "alignment"
    if not why_not_current(shared, alignment_key(run)):
        return shared
    return run.checkpoints("alignment")


def align_projector(run: LlmExperiment, say: Callable[[str], None] | None = print) -> Path:
    """Train the projector on the names of findings in training ECGs, or load it."""

    def train(folder: Path) -> None:
        config, encoder = run.config, run.clip.ecg_encoder
        set_seed(config.seed)
        language_model, tokenizer = load_llm(run.llm, config.llm.dtype)
        processor = EcgLlmProcessor(tokenizer, Projector.slots(encoder.config.tokens))
        model = EcgLlm.build(encoder, language_model, processor.slot_id, str(run.llm))
        scale = _align(run, model, processor, folder)
        model.save_pretrained(folder, processor)
        (folder / _SCALE).write_text(json.dumps({"scale": scale}) + "\n")

    return train_or_load(aligned_folder(run), alignment_key(run), train, say)


def with_all_names(run: LlmExperiment) -> LlmExperiment:
    """Return the run with a projector that also learned Table 4's names; no arm is trained on it.

    It lies in `all_names` beside the run's own projector and shows what the slots lose when those
    names are left out.
    """
    config = replace(run.config, alignment=replace(run.config.alignment, zero_shot_names=True))
    own = run.below("all_names", config=config)
    align_projector(own, say=None)
    return own


def leave_unaligned(run: LlmExperiment) -> None:
    """Write a note into the folders of aligned projectors that the profile has no alignment.

    `dvc.yaml` lists these folders as outputs.
    """
    for name in ("alignment", "all_names"):
        folder = run.checkpoints(name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "none.json").write_text(json.dumps({"alignment.epochs": 0}) + "\n")


def begin_aligned(
    run: LlmExperiment, model: EcgLlm, processor: EcgLlmProcessor, folder: Path
) -> None:
    """Give a new model the aligned projector of its run, if the profile has one.

    A projector with another architecture, such as a lesion's, is aligned anew below `folder`.
    """
    if not run.config.alignment.epochs:
        return
    if type(model.projector) is Projector:
        saved = load_file(str(align_projector(run, say=None) / "projector.safetensors"))
        model.projector.load_state_dict(saved)
    else:
        own = folder / "alignment"
        own.mkdir(parents=True, exist_ok=True)
        _align(run, model, processor, own)


def _align(run: LlmExperiment, model: EcgLlm, processor: EcgLlmProcessor, folder: Path) -> float:
    records, config = run.store.records, run.config
    return align(
        model.projector,
        run.tokens,
        records[records["split"] == "train"],
        embeddings_of(model.base_lm),
        processor.tokenizer,
        config.alignment,
        folder,
        config.seed,
    )


def alignment_curve(run: LlmExperiment) -> pd.DataFrame:
    """Return `step` and `loss` of the alignment."""
    return pd.read_csv(aligned_folder(run) / "curve.csv")[["step", "loss"]]


def aligned_names(run: LlmExperiment) -> pd.DataFrame:
    """Return the names that the slots learned.

    Columns are `code`, `name`, `pieces` (tokens of the name) and `ecgs` (how many have the
    finding).
    """
    return pd.read_csv(aligned_folder(run) / "names.csv")


def slots_alone(
    run: LlmExperiment, names: Mapping[str, str], records: pd.DataFrame
) -> pd.DataFrame:
    """Score labels by the aligned slots alone, without a question.

    Parameters
    ----------
    names : mapping of str to str
        The labels, and their names in words, whether learned or not.
    records : (N,) DataFrame
        Records of ECGs in the run's question cohort.

    Returns
    -------
    (N, labels) DataFrame
    """
    folder = aligned_folder(run)
    model = EcgLlm.from_pretrained(folder)
    tokenizer = EcgLlmProcessor.from_pretrained(folder).tokenizer
    scale = json.loads((folder / _SCALE).read_text())["scale"]
    table, ids = embeddings_of(model.base_lm), records["ecg_id"].tolist()
    return name_scores(model.projector, scale, names, table, tokenizer, run.tokens, ids)
