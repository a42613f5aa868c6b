"""Tests of reading practice by LoRA: its rows, its loss, its checkpoints, and the merged model."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from gguf_models import TEXTS
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from ecg_lib.config import compose
from ecg_lib.ecg_llm.alignment import embed_names, name_pieces
from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.ecg_llm.llm_names import fetched_folder
from ecg_lib.ecg_llm.processor import IGNORE
from ecg_lib.encoders.token_cache import weights_hash
from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import FINDINGS
from ecg_lib.named_llm import bfloat16, reading_practice
from ecg_lib.named_llm.merging import merge
from ecg_lib.named_llm.reading_practice import (
    ADAPTER,
    AnswerLoss,
    InParts,
    parts_of,
    practice_dtype,
    practice_questions,
    practice_rows,
    practise,
)
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs
from ecg_lib.tiny_llm.packed_rows import collate
from ecg_lib.tiny_llm.training_rows import CachedTokenizer

SEED = 7
REPORTS = ["sinus rhythm", "inverted t-waves", "sinus rhythm. inverted t-waves"]


def reports(ecg: str, rng: np.random.Generator) -> str:
    return REPORTS[int(ecg[1:]) % 3]


def questions(number: int) -> pd.DataFrame:
    """Ask about sixty ECGs and twenty pairs of them whether the finding is there."""
    rows = []
    for k in range(60):
        for finding in ("sinus rhythm", "inverted t-waves"):
            answer = "yes" if finding in REPORTS[k % 3] else "no"
            rows.append((f"Does this ECG show signs of {finding}?", [answer], [f"e{k}"]))
    for k in range(20):
        about = [f"e{k}", f"e{k + 1}"]
        rows.append(("Here are two: is it sinus rhythm in the second?", ["no"], about))
    return pd.DataFrame(rows, columns=["question", "answer", "ecg_id"])


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    torch.manual_seed(0)
    tokenizer = train_byte_pairs([*TEXTS, *REPORTS, *questions(0)["question"]], 360)
    tiny_llama(tokenizer, width=32, depth=2, heads=2).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def settings(**changes):
    small = {"rows": 280, "batch_size": 4, "pack": 4, "learning_rate": 3e-2, "dtype": "float32"}
    plain = {"disturb": 0.0, "blurred": 0.0, "name_or_path": "some/llm", "practice": True}
    return replace(compose("smoke").llm, **{**small, **plain, **changes})


@pytest.fixture(scope="module")
def practised(llm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("practised")
    practise(str(llm), reports, questions, settings(), folder, SEED)
    return folder


def test_practice_lowers_the_loss_and_the_llm_that_practised_keeps_its_bytes(llm, practised):
    curve = pd.read_csv(practised / "curve.csv")
    assert set(curve["course"]) == {"reading"} and {"step", "loss"} <= set(curve)
    assert curve["loss"].iloc[-1] < 0.5 * curve["loss"].iloc[0]
    before, after = (load_llm(folder)[0] for folder in (llm, practised))
    assert weights_hash(before) != weights_hash(after)
    assert not list(practised.glob("trainer")) and not any(
        p.requires_grad for p in after.parameters()
    )


def test_the_merged_model_answers_as_the_adapted_one(llm, practised):
    model, tokenizer = load_llm(llm)
    adapted = PeftModel.from_pretrained(model, practised / ADAPTER).eval()
    ids = torch.tensor([tokenizer("Does this ECG show signs of sinus rhythm?")["input_ids"]])
    with torch.no_grad():
        assert torch.allclose(adapted(ids).logits, load_llm(practised)[0](ids).logits, atol=1e-4)


def test_the_adapter_is_small_names_no_folder_and_gives_the_same_model_again(
    llm, practised, tmp_path
):
    adapter = practised / ADAPTER
    assert {file.name for file in adapter.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    weights = load_file(adapter / "adapter_model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.bfloat16}
    assert len(weights) == 2 * 4 * 2  # two factors of q, k, v and o in two layers
    said = json.loads((adapter / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == "some/llm"
    assert str(llm) not in (adapter / "adapter_config.json").read_text()
    merge(str(llm), adapter, "float32", tmp_path)
    again, first = (folder / "model.safetensors" for folder in (tmp_path, practised))
    assert again.read_bytes() == first.read_bytes()


def test_an_adapter_that_is_missing_or_of_another_llm_is_one_line(llm, practised, tmp_path):
    with pytest.raises(DataError, match="llm.reading_adapter .* holds no adapter_config.json"):
        merge(str(llm), tmp_path, "float32", tmp_path)
    tokenizer = load_llm(llm)[1]
    other = tmp_path / "other"
    tiny_llama(tokenizer, width=64, depth=2, heads=2).save_pretrained(other)
    tokenizer.save_pretrained(other)
    with pytest.raises(DataError, match="does not fit") as error:
        merge(str(other), practised / ADAPTER, "float32", tmp_path)
    assert "\n" not in str(error.value)


def test_an_interrupted_practice_goes_on_after_its_last_part_and_ends_the_same(
    llm, practised, tmp_path, monkeypatch
):
    seen, stop = [], [True]

    def noting(rows, processor):
        if stop[0] and len(seen) == 9:
            raise KeyboardInterrupt
        seen.append([tuple(row["input_ids"]) for row in rows])
        return collate(rows, processor)

    monkeypatch.setattr(reading_practice, "collate", noting)
    given = str(llm), reports, questions, settings(), tmp_path, SEED
    with pytest.raises(KeyboardInterrupt):
        practise(*given)
    first, stop[0] = seen.copy(), False
    seen.clear()
    practise(*given)
    assert len(first) == 9 and len(seen) == 35 and seen[:4] == first[5:], "five steps are kept"
    one, two = (load_file(f / "model.safetensors") for f in (tmp_path, practised))
    assert all(torch.allclose(one[name], two[name], atol=1e-5) for name in two)


def test_all_questions_of_an_ecg_are_taken_or_none_and_passes_follow_until_there_are_enough():
    asked = []
    drawn = practice_questions(lambda k: asked.append(k) or questions(k), 100, SEED)
    assert asked == [0] and sum(map(len, drawn)) == 100
    whole = questions(0)["ecg_id"].map(tuple).value_counts()
    taken = drawn[0]["ecg_id"].map(tuple).value_counts()
    assert (taken.iloc[:-1] == whole[taken.index[:-1]]).all()
    assert [len(rows) for rows in practice_questions(questions, 300, SEED)] == [140, 140, 20]


def test_every_row_is_in_one_part_and_parts_hold_whole_batches():
    rows = [{"input_ids": [k]} for k in range(53)]
    shown = InParts(rows, batch_size=2)
    assert parts_of(rows, 2) == 8 and len(shown) == 6
    seen = []
    for part in range(8):
        shown.set_epoch(part)
        seen += [shown[i]["input_ids"][0] for i in range(len(shown))]
    assert seen == list(range(48))
    assert len(InParts(rows[:3], batch_size=8)) == 3 and parts_of(rows[:3], 8) == 1


def test_the_trainer_shows_each_part_in_its_epoch(llm, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        reading_practice,
        "collate",
        lambda rows, processor: seen.extend(map(id, rows)) or collate(rows, processor),
    )
    practise(str(llm), reports, questions, settings(rows=64), tmp_path, SEED)
    assert len(seen) == len(set(seen)) > 20


def test_the_loss_of_packed_answers_is_that_of_each_asked_alone_in_one_string(llm):
    model, tokenizer = load_llm(llm)
    processor = CachedTokenizer(tokenizer, slots=1)
    drawn = questions(0).iloc[[0, 1]]
    (row,) = practice_rows([drawn], reports, processor, settings(), SEED)
    rng = np.random.default_rng(0)
    single = [
        processor.example(q, a[0], [reports(e[0], rng)])
        for q, a, e in drawn[["question", "answer", "ecg_id"]].itertuples(index=False)
    ]
    with torch.no_grad():
        fast = AnswerLoss(model, processor.slot_id)(**collate([row], processor))["loss"]
        plain = [model(**processor.batch([s])).loss.item() for s in single]
    tokens = [sum(label != IGNORE for label in s["labels"]) for s in single]
    assert fast.item() == pytest.approx(np.average(plain, weights=tokens), abs=1e-5)


def test_blurred_and_disturbed_practice_runs_in_bfloat16(llm, tmp_path, monkeypatch):
    monkeypatch.setattr(reading_practice, "computes_bfloat16", lambda: True)
    how = settings(rows=24, blurred=0.5, disturb=0.5, dtype="bfloat16")
    practise(str(llm), reports, questions, how, tmp_path, SEED)
    saved = load_file(tmp_path / "model.safetensors")
    assert {value.dtype for value in saved.values()} == {torch.bfloat16}


def test_bfloat16_is_used_only_where_the_cpu_has_it(monkeypatch, capsys):
    monkeypatch.setattr(bfloat16.torch.cuda, "is_available", lambda: False)
    for known, fast in (({"amx_bf16": True}, True), ({"avx512_bf16": True}, True), ({}, False)):
        monkeypatch.setattr(bfloat16.torch.cpu, "get_capabilities", lambda known=known: known)
        assert bfloat16.computes_bfloat16() is fast
    assert practice_dtype("bfloat16") == "float32" and "llm.dtype" in capsys.readouterr().out
    assert practice_dtype("float32") == "float32" and not capsys.readouterr().out


def test_an_llm_without_the_four_projections_is_one_line(tmp_path):
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = train_byte_pairs([*TEXTS, *REPORTS], 330)
    size = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": len(tokenizer)}
    GPT2LMHeadModel(GPT2Config(**size)).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(DataError, match=r"llm\.practice: .* q_proj"):
        practise(str(tmp_path), reports, questions, settings(), tmp_path, SEED)


# -- the real tokenizer, where it was fetched ----------------------------------------------------


@pytest.fixture(scope="module")
def smollm():
    folder = fetched_folder("smollm2-135m")
    if not folder.is_dir():
        pytest.skip("SmolLM2 is not fetched; `make smollm` does it")
    return load_llm(folder, "bfloat16")


def test_names_that_the_real_tokenizer_splits_are_embedded_as_they_stand_in_a_report(smollm):
    model, tokenizer = smollm
    names = list(FINDINGS["name"])
    pieces = [name_pieces(name, tokenizer) for name in names]
    assert np.mean([len(ids) for ids in pieces]) > 2
    report = tokenizer(". ".join(names), add_special_tokens=False)["input_ids"]
    spelt = "".join(f" {i}" for i in report) + " "
    for name, ids in list(zip(names, pieces, strict=True))[1:]:
        ids = ids[:-1] if name.endswith(")") else ids  # ")." is one token
        assert "".join(f" {i}" for i in ids) + " " in spelt
    table = model.get_input_embeddings()
    words = embed_names(names, tokenizer, table)
    assert words.dtype == torch.float32 and words.shape == (len(names), 576)
    exact = torch.stack([table.weight[ids].float().mean(0) for ids in pieces])
    assert torch.allclose(words, exact, rtol=1e-2, atol=2e-3)


def test_the_real_tokenizer_reads_packed_rows_as_one_string(smollm):
    tokenizer: PreTrainedTokenizerFast = smollm[1]
    processor = CachedTokenizer(tokenizer, slots=1)
    drawn, rng = questions(0).iloc[[0, 1, 125]], np.random.default_rng(0)
    rows = practice_rows([drawn], reports, processor, settings(pack=1), SEED)
    packed = [(row["input_ids"], row["labels"]) for row in rows]
    for question, answer, about in drawn[["question", "answer", "ecg_id"]].itertuples(index=False):
        alone = processor.example(question, answer[0], [reports(e, rng) for e in about])
        assert (alone["input_ids"], alone["labels"]) in packed


def test_the_merged_model_is_a_plain_causal_lm(practised):
    assert type(AutoModelForCausalLM.from_pretrained(practised)).__name__ == "LlamaForCausalLM"
