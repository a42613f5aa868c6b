"""Tests that several processes train like one with the whole batch, and that only one saves."""

import json
import os
import socket
from pathlib import Path

import objective_cases as cases
import pandas as pd
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file, save_file
from torch import distributed, multiprocessing, nn
from transformers import BertConfig, BertModel

from ecg_lib.data.prepare import prepare
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.text_encoder import TextEncoder
from ecg_lib.objectives.objective import Given, find
from ecg_lib.objectives.parts.clip import EcgClip, PretrainedClip
from ecg_lib.objectives.parts.clip_text import tokenised
from ecg_lib.objectives.parts.gather import true_of
from ecg_lib.objectives.parts.losses import clip_loss
from ecg_lib.training.cache import train_or_load

REPO = Path(__file__).resolve().parents[2]
ROWS, WORDS = 8, 6  # of the whole batch
REPORTS = [
    "sinus rhythm. normal",
    "sinus rhythm. lvh",
    "af",
    "af. lvh",
    "normal",
    "sinus rhythm. normal",
    "lvh",
    "af",
]
TEXTS = ["sinus rhythm", "lvh", "af", "af", "normal", "sinus rhythm. normal", "lvh", "af"]
CASES = ("whole reports", "statements", "runs of words")
WHOLE = torch.ones(ROWS, WORDS, dtype=torch.long)


def small_clip():
    """Build the same CLIP in every process.

    Batch norms use their running statistics, because on a CPU each process would measure only its
    own part of the batch.
    """
    torch.manual_seed(0)
    text = BertModel(
        BertConfig(
            vocab_size=40,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        False,
    )
    encoder = StemVit(StemVitConfig(width=16, depth=1, heads=2, mlp=32, patch=125, dropout=0.0))
    clip = EcgClip(encoder, TextEncoder(text), width=8).train()
    for module in clip.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    return clip


def learner(case):
    """Build the objective of a case around the same CLIP."""
    name, whole = {
        "whole reports": ("clip_reports", 1.0),
        "statements": ("clip_reports", 0.0),
        "runs of words": ("clip_snippets", 0.0),
    }[case]
    clip = small_clip()
    given = Given(0, cases.TEXT, Store(), start=PretrainedClip(clip, None))
    own = cases.settings(name, width=8, temperature=None, whole=whole)
    return find(name).Objective(clip.ecg_encoder, own, given)


class Store:
    """A store without ECGs; these tests build their batches by hand."""

    records = pd.DataFrame({"report": pd.Series([], dtype=str)})


def batch(case, rows=slice(None)):
    """Return the whole batch, or the rows of it that one process gets."""
    draw = torch.Generator().manual_seed(1)
    whole = {
        "ecg": torch.randn(ROWS, 12, 1000, generator=draw),
        "input_ids": torch.randint(40, (ROWS, WORDS), generator=draw),
        "attention_mask": WHOLE,
        "texts": REPORTS if case == "whole reports" else TEXTS,
        "reports": REPORTS,
    }
    return {name: values[rows] for name, values in whole.items()}


def step(model, values):
    """Return the loss and the gradients of one step."""
    model.zero_grad()
    loss = model(**values).loss
    loss.backward()
    names = (
        name.removeprefix("module.").removeprefix("clip.") for name, _ in model.named_parameters()
    )
    grads = {
        name: p.grad.clone()
        for name, p in zip(names, model.parameters(), strict=True)
        if p.grad is not None
    }
    return {"loss": loss.detach().clone(), **grads}


def process(rank, port, folder):
    """Run every case in one of two processes, on its half of the batch."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "RANK": str(rank),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    half = slice(rank * ROWS // 2, (rank + 1) * ROWS // 2)
    for case in CASES:
        model = nn.parallel.DistributedDataParallel(learner(case))
        save_file(step(model, batch(case, half)), folder / f"{case}-{rank}.safetensors")

    def train(partial):
        distributed.barrier()
        (partial / f"by-{rank}").write_text("trained")

    train_or_load(folder / "trained", {"params": "1"}, train, say=lambda _: None)
    assert (folder / "trained" / "fingerprint.json").is_file()  # in every process, on return
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder that two processes wrote to."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(process, (port, folder), nprocs=2)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_loss_and_gradients_of_one(two_processes, case):
    whole = step(learner(case), batch(case))
    assert len(whole) > 20
    for rank in (0, 1):
        mine = load_file(two_processes / f"{case}-{rank}.safetensors")
        assert mine.keys() == whole.keys()
        for name, value in whole.items():
            torch.testing.assert_close(mine[name], value, rtol=1e-5, atol=1e-5, msg=name)
        assert whole["log_scale"].abs() > 1e-3 and whole["ecg_projection.weight"].abs().max() > 1e-3


def test_the_halves_alone_would_have_another_loss(two_processes):
    for case in CASES:
        together = load_file(two_processes / f"{case}-0.safetensors")["loss"]
        alone = learner(case)(**batch(case, slice(0, ROWS // 2))).loss
        assert abs(together - alone) > 0.05


@pytest.mark.parametrize("case", CASES)
def test_one_process_computes_the_plain_batch_loss(case):
    model, values = learner(case), batch(case)
    vectors = model.clip.embed_ecg(values["ecg"]), model.clip.embed_text(values["input_ids"], WHOLE)
    true = torch.tensor([[text in report for text in values["texts"]] for report in REPORTS])
    same = torch.tensor([[one == other for one in REPORTS] for other in REPORTS])
    told = {"same": same} if case == "whole reports" else {"positives": true}
    assert torch.equal(model(**values).loss, clip_loss(*vectors, model.clip.scale(), **told))


def test_of_two_processes_both_train_and_one_finishes_the_folder(two_processes):
    folder = two_processes / "trained"
    assert {file.name for file in folder.iterdir()} == {
        "by-0",
        "by-1",
        "fingerprint.json",
        "seal.json",
    }
    assert json.loads((folder / "fingerprint.json").read_text()) == {"params": "1"}
    assert not (two_processes / "trained.partial").exists()


def test_texts_travel_so_that_others_can_tell_of_which_ecgs_they_are_true(tmp_path):
    store = prepare("simulated", None, tmp_path, patients=12, seed=0)
    for name, made in (
        ("clip_reports", {"whole": 0.0}),
        ("clip_snippets", {"words": 2}),
    ):
        model = cases.built(name, store, **made)
        halves = [model.collate([{"row": i} for i in part]) for part in (range(9), range(9, 18))]
        for half in halves:
            assert true_of(half["texts"], half["reports"]).diagonal().all()
            plain = [text.strip() for text in half["texts"]]  # the spaces only mark whole words
            assert torch.equal(
                half["input_ids"], tokenised(model.tokenizer, plain, 64)["input_ids"]
            )
        across = true_of(halves[0]["texts"], halves[1]["reports"])
        assert across.any() and not across.all()  # one process alone would call them negatives


@pytest.mark.parametrize("name, kind", [("ddp", "MULTI_GPU"), ("fsdp", "FSDP")])
def test_accelerate_reads_its_configurations(name, kind):
    config = load_config_from_file(str(REPO / "conf" / "accelerate" / f"{name}.yaml"))
    assert config.distributed_type == kind and not config.use_cpu
    assert config.mixed_precision == "no"
