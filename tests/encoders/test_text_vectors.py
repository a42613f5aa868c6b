"""Tests of kept text vectors: equal to the plain way, encoded once, never damaged or stale."""

import numpy as np
import pytest
import torch
from paper_models import save_bert
from safetensors.numpy import load_file, save_file

from ecg_lib.encoders import text_vectors
from ecg_lib.encoders.sentence_vectors import SentenceEncoder, load_sentence_encoder
from ecg_lib.encoders.text_encoder import TextEncoder
from ecg_lib.encoders.text_vectors import TextVectors, frozen_vectors

TEXTS = [
    "sinus rhythm.",
    "left bundle branch block, probable inferior infarction.",
    "normal ecg.",
    "atrial fibrillation with rapid response.",
    "ecg.",
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """A small random encoder and its tokenizer."""
    folder = save_bert(tmp_path_factory.mktemp("models") / "bert", TEXTS)
    return load_sentence_encoder(str(folder))


@pytest.fixture
def counted(loaded, monkeypatch):
    """The texts per forward pass, as they come."""
    passes: list[int] = []
    plain = SentenceEncoder.pooled

    def counting(self, input_ids, attention_mask):
        passes.append(len(input_ids))
        return plain(self, input_ids, attention_mask)

    monkeypatch.setattr(SentenceEncoder, "pooled", counting)
    return passes


def one_by_one(encoder, tokenizer, texts):
    """The plain way: every text by itself, in float32, without padding or a cache."""
    with torch.no_grad():
        rows = [encoder(**_words(tokenizer(text, return_tensors="pt"))) for text in texts]
    return torch.cat(rows)


def _words(encoded):
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_they_equal_the_plain_way_in_the_order_of_the_texts(loaded, tmp_path, batch_size):
    asked = [TEXTS[i] for i in (3, 0, 3, 1, 4, 2, 0)]
    plain = one_by_one(*loaded, asked)
    fresh = frozen_vectors(*loaded, asked, batch_size=batch_size)
    kept = frozen_vectors(*loaded, asked, batch_size=batch_size, folder=tmp_path)
    read = frozen_vectors(*loaded, asked, batch_size=batch_size, folder=tmp_path)
    assert fresh.dtype == torch.float32 and fresh.shape == plain.shape
    assert torch.allclose(fresh, plain, rtol=1e-3, atol=1e-3)  # half precision
    assert torch.equal(fresh, kept) and torch.equal(fresh, read)


def test_each_distinct_text_is_encoded_once_across_calls_and_runs(loaded, counted, tmp_path):
    vectors = TextVectors(*loaded, tmp_path, batch_size=2)
    vectors.of([TEXTS[0], TEXTS[1], TEXTS[0], TEXTS[2], TEXTS[0]])
    assert sum(counted) == 3 and max(counted) == 2
    vectors.of(TEXTS)
    TextVectors(*loaded, tmp_path).of(TEXTS[::-1])
    assert sum(counted) == len(TEXTS)


def test_no_texts_have_no_vectors(loaded, counted):
    assert frozen_vectors(*loaded, []).shape == (0, loaded[0].width) and not counted


def test_another_pooling_length_or_model_has_vectors_of_its_own(loaded, tmp_path):
    encoder, tokenizer = loaded
    first = TextVectors(encoder, tokenizer, tmp_path)
    other = SentenceEncoder(encoder.backbone, "cls").eval()
    changed = SentenceEncoder.from_pretrained(encoder.backbone.config._name_or_path)
    with torch.no_grad():
        next(changed.backbone.parameters())[0, 0] += 1
    folders = {
        first.folder,
        TextVectors(other, tokenizer, tmp_path).folder,
        TextVectors(encoder, tokenizer, tmp_path, max_tokens=4).folder,
        TextVectors(changed, tokenizer, tmp_path).folder,
    }
    assert len(folders) == 4
    first.of(TEXTS)  # a call changes the tokenizer's padding, not what it is
    assert TextVectors(encoder, tokenizer, tmp_path, batch_size=1).folder == first.folder
    assert not torch.equal(first.of(TEXTS), TextVectors(other, tokenizer, tmp_path).of(TEXTS))


def test_long_texts_are_cut(loaded):
    encoder, tokenizer = loaded
    cut = frozen_vectors(encoder, tokenizer, [TEXTS[1], TEXTS[0]], max_tokens=6)
    words = tokenizer(TEXTS[1], truncation=True, max_length=6, return_tensors="pt")
    assert words["input_ids"].shape[1] == 6
    with torch.no_grad():
        assert torch.allclose(cut[:1], encoder(**_words(words)), atol=2e-3)


def test_a_new_centre_needs_no_new_vectors(loaded, counted, tmp_path):
    folder = loaded[0].backbone.config._name_or_path
    encoder, tokenizer = load_sentence_encoder(folder)
    raw = frozen_vectors(encoder, tokenizer, TEXTS, folder=tmp_path)
    encoder.centre_on(raw)
    centred = frozen_vectors(encoder, tokenizer, TEXTS, folder=tmp_path)
    assert torch.allclose(centred, raw - raw.mean(0), atol=1e-6) and sum(counted) == len(TEXTS)


def test_dropout_is_off_while_encoding_and_the_mode_comes_back(loaded):
    encoder, tokenizer = loaded
    plain = frozen_vectors(encoder, tokenizer, TEXTS)
    trained = TextEncoder(encoder.backbone).train()
    assert any(m.p for m in trained.modules() if isinstance(m, torch.nn.Dropout))
    assert torch.equal(frozen_vectors(trained, tokenizer, TEXTS), plain)
    assert trained.training and encoder.backbone.training
    encoder.eval()


def test_a_run_that_was_killed_goes_on_with_the_same_batches(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(text_vectors, "_BATCHES", 1)
    whole = frozen_vectors(*loaded, TEXTS, batch_size=2, folder=tmp_path / "whole")
    plain, written = text_vectors._write, []

    def killed(folder, part):
        if written:
            raise KeyboardInterrupt
        written.append(part)
        plain(folder, part)

    monkeypatch.setattr(text_vectors, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        frozen_vectors(*loaded, TEXTS, batch_size=2, folder=tmp_path / "killed")
    monkeypatch.setattr(text_vectors, "_write", plain)
    assert torch.equal(
        frozen_vectors(*loaded, TEXTS, batch_size=2, folder=tmp_path / "killed"), whole
    )
    files = [
        {f.relative_to(tmp_path / run): f.read_bytes() for f in (tmp_path / run).rglob("*.*")}
        for run in ("whole", "killed")
    ]
    assert files[0] == files[1] and len(files[0]) == 3


@pytest.mark.parametrize("damage", ["cut", "altered", "of_another"])
def test_a_damaged_file_is_named_and_its_texts_are_encoded_again(
    loaded, counted, tmp_path, capsys, damage
):
    good = frozen_vectors(*loaded, TEXTS, folder=tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-10])
    elif damage == "altered":
        whole = bytearray(file.read_bytes())
        whole[-1] ^= 1
        file.write_bytes(whole)
    else:
        stored = load_file(file)
        save_file({"vectors": stored["vectors"]}, file)
    again = frozen_vectors(*loaded, TEXTS, folder=tmp_path)
    said = capsys.readouterr().err
    assert file.name in said and "encoded again" in said and said.count("\n") == 1
    assert torch.equal(again, good) and sum(counted) == 2 * len(TEXTS)


def test_files_hold_half_precision_and_no_words(loaded, tmp_path):
    frozen_vectors(*loaded, TEXTS, folder=tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    stored = load_file(file)
    assert stored["vectors"].dtype == np.float16 and len(stored["vectors"]) == len(TEXTS)
    assert not any(word in file.read_bytes() for word in (b"sinus", b"block", b"ecg"))
