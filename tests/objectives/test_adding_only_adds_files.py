"""Tests that a new encoder or objective needs one source file and one config, and no other edit."""

import json
import textwrap

import pytest
from pipeline_fixtures import make_clone

ENCODER = '''
"""A linear layer over windows of an ECG."""

import torch
from transformers import AutoConfig, AutoModel

from ecg_lib.encoders.base import EcgEncoder, EcgEncoderConfig, EncoderOutput, without_absent


class WindowsConfig(EcgEncoderConfig):
    model_type = "windows"

    def __init__(self, tokens: int = 8, width: int = 12, **kwargs):
        self.tokens, self.width = tokens, width
        super().__init__(**kwargs)


class Windows(EcgEncoder):
    config_class = WindowsConfig

    def __init__(self, config):
        super().__init__(config)
        leads, samples = config.ecg_input.shape
        self.mix = torch.nn.Linear(leads * samples // config.tokens, config.width)
        self.post_init()

    def forward(self, ecg, lead_mask=None):
        windows = without_absent(ecg, lead_mask).unflatten(-1, (self.config.tokens, -1))
        tokens = self.mix(windows.transpose(1, 2).flatten(2))
        return EncoderOutput(tokens=tokens, cls=tokens.mean(1))


AutoConfig.register("windows", WindowsConfig)
AutoModel.register(WindowsConfig, Windows)
'''
OBJECTIVE = '''
"""Two roughened copies of an ECG are alike, those of two ECGs are not (SimCLR, Chen et al. 2020).

A teacher that no gradient reaches looks at one of them and follows the encoder step by step.
"""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from transformers import TrainerCallback
from transformers.utils import ModelOutput

from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.objectives.objective import BaseObjective, BaseSettings, store_of
from ecg_lib.objectives.parts.augment import Augmentation, augment
from ecg_lib.objectives.parts.losses import clip_loss


@dataclass(frozen=True, kw_only=True)
class Settings(BaseSettings):
    epochs: int
    width: int
    temperature: float
    momentum: float


class Follow(TrainerCallback):
    def __init__(self, momentum):
        self.momentum = momentum

    @torch.no_grad()
    def on_step_end(self, args, state, control, model=None, **kwargs):
        for own, student in zip(model.teacher.parameters(), model.encoder.parameters()):
            own.lerp_(student, 1 - self.momentum)


class Objective(BaseObjective):
    def __init__(self, encoder, settings, given):
        super().__init__(encoder, settings, given)
        self.store, self.encoder = store_of(given), encoder
        self.teacher = copy.deepcopy(encoder).requires_grad_(False)
        self.project = nn.Linear(encoder.config.width, settings.width)

    def rows(self):
        parts = self.given.train, self.given.valid
        return tuple([{"row": int(i)} for i in part] for part in parts)

    def collate(self, rows):
        signals = torch.from_numpy(self.store.mv([row["row"] for row in rows]))
        views = [augment(signals, self.generator, Augmentation()).numpy() for _ in range(2)]
        one, other = (encoder_input(view, self.encoder) for view in views)
        return {"ecg": one, "again": other}

    def forward(self, ecg, again):
        one = self.project(self.encoder(ecg).cls)
        other = self.project(self.teacher(again).cls)
        scale = torch.tensor(1 / self.settings.temperature)
        return ModelOutput(loss=clip_loss(F.normalize(one), F.normalize(other), scale))

    def callbacks(self):
        return [Follow(self.settings.momentum)]

    def companions(self):
        return ["teacher."]

    def save(self, folder):
        self.encoder.save_pretrained(folder / "encoder")
'''
REPORTS = '''
"""The paper's objective under another name, with texts that are single statements."""

from dataclasses import dataclass

from ecg_lib.objectives import clip_reports


@dataclass(frozen=True, kw_only=True)
class Settings(clip_reports.Settings):
    whole: float = 0.0


class Objective(clip_reports.Objective):
    pass
'''
REPORT_VALUES = """
name: own_reports
epochs: 1
batch_size: 32
learning_rate: 1.0e-3
weight_decay: 1.0e-4
warmup: 0.1
width: 32
temperature: 0.07
"""
VALUES = """
name: same_ecg
epochs: 2
batch_size: 64
learning_rate: 1.0e-3
weight_decay: 1.0e-4
warmup: 0.1
width: 64
temperature: 0.1
momentum: 0.9
"""
STEP = """
import json
from ecg_lib.config import load_config
from ecg_lib.encoders.token_cache import encode_store
from ecg_lib.experiments.cohorts import prepare_cohort
from ecg_lib.experiments.encoder_pretraining import pretrain_encoder
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.objectives.loading import load_encoder

run = Experiment.of(load_config())
store = prepare_cohort(run, run.config.data.pretraining)
folder = pretrain_encoder(run, store)
tokens = encode_store(store, load_encoder(folder), run.checkpoints("features", "own"))
print(json.dumps({"ecgs": len(store), "tokens": tokens.tokens.shape, "ids": len(tokens)}))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A checkout with one added encoder and two added objectives."""
    made = make_clone(tmp_path_factory.mktemp("own"))
    files = {
        "ecg_lib/encoders/windows.py": ENCODER,
        "conf/encoder/windows.yaml": "name: windows\ntokens: 8\nwidth: 16\n",
        "ecg_lib/objectives/same_ecg.py": OBJECTIVE,
        "conf/objective/same_ecg.yaml": VALUES,
        "ecg_lib/objectives/own_reports.py": REPORTS,
        "conf/objective/own_reports.yaml": REPORT_VALUES,
    }
    for name, text in files.items():
        (made.folder / name).write_text(textwrap.dedent(text).lstrip())
    made.run("python", "-m", "ecg_lib.config", "smoke", "encoder=windows", "objective=same_ecg")
    return made


@pytest.mark.xdist_group("own encoder")
def test_it_pretrains_the_profile_s_encoder_and_every_ecg_is_encoded(clone):
    told = json.loads(clone.run("python", "-W", "ignore", "-c", STEP).stdout.splitlines()[-1])
    assert told["tokens"] == [told["ecgs"], 8, 16] and told["ids"] == told["ecgs"] > 200
    changed = clone.run("git", "status", "--porcelain", "--untracked-files=all").stdout.splitlines()
    kinds = ("encoder", "windows"), ("objective", "same_ecg"), ("objective", "own_reports")
    for kind, name in kinds:
        assert {f"?? ecg_lib/{kind}s/{name}.py", f"?? conf/{kind}/{name}.yaml"} <= set(changed)
    # Composing writes params.yaml; the pipeline writes checkpoints, data and results.
    assert {line for line in changed if not line.startswith("??")} <= {" M params.yaml"}


@pytest.mark.xdist_group("own encoder")
def test_the_contract_of_all_objectives_finds_it_and_it_passes(clone):
    contract = "tests/objectives/test_objective_contract.py"
    clone.run(*"python -m pytest -q -p no:cacheprovider -k same_ecg".split(), contract)


@pytest.mark.slow
@pytest.mark.xdist_group("own encoder")
def test_smoke_runs_with_them(clone):
    """Notebooks 01 to 04: pretraining, the probe and the first stage of the ECG-LLM."""
    compose = ("python", "-m", "ecg_lib.config", "smoke")
    clone.run(*compose, "encoder=windows", "objective=own_reports")
    clone.run("dvc", "repro", "-q", "04_debias@smoke")
    saved = clone.folder / "checkpoints" / "smoke" / "stage1" / "de-biased" / "encoder"
    assert json.loads((saved / "config.json").read_text())["model_type"] == "windows"
    assert (clone.folder / "results" / "smoke" / "table2_training.csv").is_file()
    edited = clone.run("git", "diff", "--name-only").stdout.split()
    assert set(edited) <= {"params.yaml"}
