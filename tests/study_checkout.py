"""A miniature checkout with a trained profile, for tests of what builds on one."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ecg_lib import paths
from ecg_lib.config import compose
from ecg_lib.config_studies import Study
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.experiments import ablations, arms
from ecg_lib.experiments.encoder_pretraining import pretrain_encoder
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.experiments.question_sets import built_questions
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs

REPO = Path(__file__).resolve().parent.parent
STUDY = {
    "settings": [
        "questions.world=nature",
        "questions.templates=[1,12]",
        "stage1.max_rows=32",
        "stage2.max_rows=32",
    ],
    "arms": ["none", "de-biased"],
    "strengths": [0, 1],
    "lesions": {
        "mV": ["signal.normalisation=mv"],
        "deep": ["study.surgery.projector_layers=2"],
        "eyes": ["study.surgery.train_encoder=true"],
    },
    "per_answer": 2,
    "test_rows": 40,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A checkout with a profile's encoder, LLM and de-biased arm, but no study yet."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "ecg_lib").symlink_to(REPO / "ecg_lib")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "ROOT", root)
        patch.setattr(arms, "_SMALL", 0)  # one by one: other processes would not know this root
        torch.manual_seed(0)
        tokenizer = train_byte_pairs(["yes no not sure", "Is there a finding in this ECG?"], 380)
        tiny_llama(tokenizer, width=16, depth=1, heads=2).save_pretrained(root / "llm")
        tokenizer.save_pretrained(root / "llm")
        config = replace(compose("smoke"), study=Study(**STUDY), stages={})
        config = replace(config, llm=replace(config.llm, name_or_path=str(root / "llm")))
        cohort = SimulatedCohort(patients=120, seed=config.seed)
        run = LlmExperiment.of(config)
        store = write_store(run.store_folder(config.data.questions), cohort)
        pretrain_encoder(run, store)
        rows = built_questions(ablations.base_of(config), store)["train"].head(32)
        for stage in ("stage1", "stage2"):
            arms.run_stage(run, stage, "de-biased", rows)
        yield SimpleNamespace(run=run, config=config, store=store, root=root)
