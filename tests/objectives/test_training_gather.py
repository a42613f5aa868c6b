"""Several processes train as one would with the whole batch: loss, gradients, who writes."""

import json
import os
import socket
from pathlib import Path

import pandas as pd
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file, save_file
from torch import distributed, multiprocessing, nn
from transformers import BertConfig, BertModel

from ecg_lib.config import Pairs
from ecg_lib.data.prepare import prepare
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.text_encoder import TextEncoder, train_report_tokens
from ecg_lib.objectives import clip_reports, clip_snippets
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.objectives.parts.gather import GatheredClip, true_of
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
CASES = ("plain", "same reports", "positives")


def small_clip():
    """The same CLIP in every process. Its batch norms use their running statistics: what they
    measure in training is each process's own on a CPU."""
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


def batch(case, rows=slice(None)):
    """The whole batch, or the rows of it that one process has."""
    draw = torch.Generator().manual_seed(1)
    whole = {
        "ecg": torch.randn(ROWS, 12, 1000, generator=draw),
        "input_ids": torch.randint(40, (ROWS, WORDS), generator=draw),
        "attention_mask": torch.ones(ROWS, WORDS, dtype=torch.long),
    }
    if case == "same reports":
        whole["text_id"] = torch.tensor([REPORTS.index(report) for report in REPORTS])
    mine = {name: values[rows] for name, values in whole.items()}
    if case == "positives":
        texts, reports = TEXTS[rows], REPORTS[rows]
        mine |= {"positives": true_of(texts, reports), "texts": texts, "reports": reports}
    return mine


def step(model, values):
    """Loss and gradients of one step."""
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
    """One of two processes: each case on its half of the batch."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "RANK": str(rank),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(GatheredClip(small_clip()))
    half = slice(rank * ROWS // 2, (rank + 1) * ROWS // 2)
    for case in CASES:
        save_file(step(model, batch(case, half)), folder / f"{case}-{rank}.safetensors")

    def train(partial):
        distributed.barrier()
        (partial / f"by-{rank}").write_text("trained")

    train_or_load(folder / "trained", {"params": "1"}, train, say=lambda _: None)
    assert (folder / "trained" / "fingerprint.json").is_file()  # for every process, on return
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """What two processes wrote."""
    folder = tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(process, (port, folder), nprocs=2)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_loss_and_gradients_of_one(two_processes, case):
    whole = step(
        small_clip(),
        {name: values for name, values in batch(case).items() if name not in ("texts", "reports")},
    )
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
        alone = GatheredClip(small_clip())(**batch(case, slice(0, ROWS // 2))).loss
        assert abs(together - alone) > 0.05


def test_alone_it_is_the_plain_model_to_the_bit():
    for case in CASES:
        models = small_clip(), GatheredClip(small_clip())
        one, other = (step(model, batch(case)) for model in models)
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_of_two_processes_both_train_and_one_finishes_the_folder(two_processes):
    folder = two_processes / "trained"
    assert {file.name for file in folder.iterdir()} == {"by-0", "by-1", "fingerprint.json"}
    assert json.loads((folder / "fingerprint.json").read_text()) == {"params": "1"}
    assert not (two_processes / "trained.partial").exists()


def test_reports_travel_with_a_batch_only_where_others_need_them(monkeypatch, tmp_path):
    store = prepare("simulated", None, tmp_path, patients=12, seed=0)
    reports = pd.Series(store.records["report"])
    tokenizer = train_report_tokens(reports, 300)
    encoder = small_clip().ecg_encoder
    rows = [{"row": i} for i in range(6)]
    for count, whole, travels in ((1, 0.25, False), (2, 0.25, True), (2, 1.0, False)):
        monkeypatch.setattr(clip_reports, "processes", lambda count=count: count)
        made = clip_reports.PairCollator(store, encoder, tokenizer, 32, whole)(rows)
        assert ("texts" in made) == ("reports" in made) == travels
        if travels:
            assert made["reports"] == reports.tolist()[:6]
            assert torch.equal(made["positives"], true_of(made["texts"], made["reports"]))


def test_runs_of_words_travel_so_that_others_can_tell_of_which_ecgs_they_are_true(
    monkeypatch, tmp_path
):
    store = prepare("simulated", None, tmp_path, patients=12, seed=0)
    tokenizer, encoder = train_report_tokens(store.records["report"], 300), small_clip().ecg_encoder
    alone = clip_snippets.RunCollator(store, encoder, tokenizer, 32, Pairs(words=2), 0)
    assert "texts" not in alone([{"row": 0}, {"row": 1}])
    monkeypatch.setattr(clip_snippets, "processes", lambda: 2)
    collate = clip_snippets.RunCollator(store, encoder, tokenizer, 32, Pairs(words=2), 0)
    halves = [collate([{"row": i} for i in part]) for part in (range(6), range(6, 12))]
    assert all(
        torch.equal(half["positives"], true_of(half["texts"], half["reports"])) for half in halves
    )
    across = true_of(halves[0]["texts"], halves[1]["reports"])
    assert across.any() and not across.all()  # what one process would otherwise take for negatives
    plain = [text.strip() for text in halves[0]["texts"]]  # spaces mark whole words only
    assert torch.equal(
        halves[0]["input_ids"], tokenizer(plain, padding=True, return_tensors="pt")["input_ids"]
    )


@pytest.mark.parametrize("name, kind", [("ddp", "MULTI_GPU"), ("fsdp", "FSDP")])
def test_accelerate_reads_its_configurations(name, kind):
    config = load_config_from_file(str(REPO / "conf" / "accelerate" / f"{name}.yaml"))
    assert config.distributed_type == kind and not config.use_cpu
    assert config.mixed_precision == "no"
