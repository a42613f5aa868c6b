"""Every kind of work that writes files, on miniature inputs, as steps of one small checkout.

Each step needs the ones before it. All lie below one root, whose path stays the same, because keys
of trained models may contain it.
"""

import functools
import sys
from dataclasses import replace
from pathlib import Path

import hydra  # noqa: F401  (here, so that a forked child need not import it again)
import sklearn.linear_model  # noqa: F401
import torch
import wfdb  # noqa: F401
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ecg_folders import beats, ptbxl_row, write_ptbxl
from safetensors.torch import save_file

from ecg_lib import paths
from ecg_lib.config import compose, compose_values, write_params
from ecg_lib.config_studies import Study
from ecg_lib.data.prepare import build_source
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.write_store import write_store
from ecg_lib.disk import write_file
from ecg_lib.evaluation.exact_match import HEADLINE, score
from ecg_lib.evaluation.resamples import Resamples
from ecg_lib.experiments import arms
from ecg_lib.experiments.aligning import align_projector
from ecg_lib.experiments.encoder_pretraining import pretrain_encoder
from ecg_lib.experiments.encoder_probe import probe_cells
from ecg_lib.experiments.language_model import llm_of_profile
from ecg_lib.experiments.llm_experiment import LlmExperiment
from ecg_lib.experiments.question_sets import make_questions
from ecg_lib.report import style
from ecg_lib.report.provenance import Provenance
from ecg_lib.report.tables import tidy, write_table
from ecg_lib.training.cache import fingerprint, train_or_load
from ecg_lib.training.fit import Schedule, fit

RECORDS = 12
OVERRIDES = [
    "data.pretraining.patients=100",
    "data.questions.patients=100",
    "questions.templates=[1,12]",
    "text_encoder.vocabulary=300",
    "llm.vocabulary=380",
    "llm.width=16",
    "llm.rows=60",
    "llm.look_ups=20",
    "llm.made_up=10",
    "llm.passages=10",
    "llm.talks=4",
    "alignment.epochs=2",
    "stage1.epochs=2",
    "stage1.max_rows=48",
    "stage2.max_rows=48",
    "evaluation.probe_epochs=1",
    "evaluation.resamples=50",
]


def prepare(root: Path, folder: Path) -> None:
    """Read files in three parts, and replace an older store of another version."""
    source = build_source("ptbxl", folder)
    out = root / "data" / "files"
    write_store(out, source, chunk=RECORDS // 3, reuse=True)


def prepare_in_parallel(root: Path, folder: Path) -> None:
    """Read files with two processes."""
    write_store(root / "data" / "files", build_source("ptbxl", folder), 2, chunk=1, reuse=True)


def experiment(root: Path) -> LlmExperiment:
    """Open the run of the small checkout."""
    paths.ROOT = root
    arms._SMALL = 0  # one arm after the other, in this process
    torch.manual_seed(0)
    return LlmExperiment.of(_config())


@functools.cache
def _config():
    return replace(compose("smoke", OVERRIDES), study=Study(), stages={})


def simulate(root: Path) -> None:
    """Compose params.yaml and prepare a simulated cohort, which comes in batches."""
    write_params(compose_values("smoke", OVERRIDES), root / "params.yaml")
    run = experiment(root)
    cohort = SimulatedCohort(run.config.data.questions.patients, run.config.seed)
    write_store(run.store_folder(run.config.data.questions), cohort, chunk=40)
    make_questions(run)


def pretrain(root: Path) -> None:
    """Pretrain the encoder and encode the cohort with it."""
    run = experiment(root)
    pretrain_encoder(run, run.store)
    len(run.tokens)


def learn_language(root: Path) -> None:
    """Train the tiny language model, both courses."""
    llm_of_profile(experiment(root))


def align(root: Path) -> None:
    """Align the projector."""
    align_projector(experiment(root))


def rows_of(run: LlmExperiment):
    """Return some training rows of the first stage."""
    return arms.stage1_rows(run.question_rows("train"), run.normal, run.config.seed)["de-biased"]


def stage1(root: Path) -> None:
    """Fine-tune on pairs."""
    run = experiment(root)
    arms.run_stage(run, "stage1", "de-biased", rows_of(run).head(48))


def stage2(root: Path) -> None:
    """Fine-tune on all questions."""
    run = experiment(root)
    arms.run_stage(run, "stage2", "de-biased", run.question_rows("train").head(48))


def evaluate(root: Path) -> None:
    """Answer, score, probe; write answers, resamples, a table and a figure."""
    run = experiment(root)
    rows = run.question_rows("test").head(24)
    answers = arms.answer_arm(run, "de-biased", rows)
    arms.keep_answers(run, {"de-biased": answers})
    right = score(arms.kept_answers(run, "de-biased")["prediction"], rows)[HEADLINE]
    Resamples.draw(run.store.records["patient_id"], 20, 0).save(run.data("resamples", "a.npz"))
    cells = [{"row": "de-biased", "column": "all", "value": 100 * right.mean(), "n": len(right)}]
    run.table("torture", cells, "A table")
    probed = probe_cells(run, run.store, run.clip.ecg_encoder, run.tokens)
    run.table("probe", probed, "Another table")
    figure = style.new_figure(3, 2)
    figure.subplots().plot([0, 1], [0, right.mean()])
    run.figure(figure, "torture")


def steps(folder: Path) -> dict:
    """Return every step by name; `folder` holds the files that `prepare` reads."""
    return {
        "prepare": functools.partial(prepare, folder=folder),
        "simulate": simulate,
        "pretrain": pretrain,
        "language model": learn_language,
        "align": align,
        "stage 1": stage1,
        "stage 2": stage2,
        "evaluate": evaluate,
    }


class Line(nn.Module):
    """The model y = w x + b."""

    def __init__(self):
        super().__init__()
        self.w = nn.Linear(1, 1)

    def forward(self, x, y):
        """Return the squared error."""
        return {"loss": ((self.w(x[:, None])[:, 0] - y) ** 2).mean()}


def _pairs(batch):
    return {name: torch.tensor([row[name] for row in batch]) for name in ("x", "y")}


def train_line(root: Path) -> None:
    """Train a line in three epochs by the loop and the cache that all trainings share."""

    def train(folder: Path) -> None:
        torch.manual_seed(0)
        model = Line()
        rows = [{"x": x / 8, "y": x / 4} for x in range(8)]
        curve = fit(model, rows, _pairs, folder, Schedule(3, 4, 0.1), seed=1)
        save_file(model.state_dict(), folder / "model.safetensors")
        curve.to_csv(folder / "curve.csv", index=False)

    train_or_load(root / "checkpoints" / "line", fingerprint(rate=0.1), train)


def write_results(root: Path, value: float = 1) -> None:
    """Write params.yaml, a table and a figure."""
    write_file(root / "params.yaml", f"profile: smoke  # {value}\n" + 9 * f"# {99 * '-'}\n")
    cells = tidy("a", [{"row": "r", "column": "c", "value": value}], Provenance("smoke"))
    write_table("a", cells, root / "results" / "smoke", "A table", "smoke")
    figure = style.new_figure(2, 2)
    figure.subplots().plot([0, value])
    style.save(figure, root / "figures" / "smoke", "a")


def quick_steps(folder: Path) -> dict:
    """Return three steps that take less than a second each and write in every way there is."""
    return {
        "prepare": functools.partial(prepare, folder=folder),
        "line": train_line,
        "results": write_results,
    }


def write_inputs(folder: Path) -> Path:
    """Write a small PTB-XL."""
    rows = [ptbxl_row(i, i, strat_fold=1 + i % 10) for i in range(1, RECORDS + 1)]
    return write_ptbxl(folder, rows, signals={r["ecg_id"]: beats(100) for r in rows})
