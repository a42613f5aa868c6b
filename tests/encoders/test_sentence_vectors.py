"""Tests of frozen text encoders: pooling, centre, loading from a folder or by a short name."""

import pytest
import torch
from paper_models import save_bert
from torch.nn.functional import cosine_similarity
from transformers import AutoModel, AutoTokenizer, BertModel, DistilBertConfig, DistilBertModel

from ecg_lib import paths
from ecg_lib.config import compose
from ecg_lib.encoders.sentence_vectors import SentenceEncoder, load_sentence_encoder
from ecg_lib.encoders.text_encoder import TextEncoder
from ecg_lib.encoders.text_names import find_text_encoder
from ecg_lib.encoders.text_vectors import frozen_vectors
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.experiments import encoder_pretraining
from ecg_lib.objectives.objective import Given
from ecg_lib.sealed import seal

TEXTS = ["sinus rhythm.", "normal ecg.", "left bundle branch block, inferior infarction."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT with random weights, its pooler and its tokenizer, as transformers saves them."""
    return save_bert(tmp_path_factory.mktemp("models") / "bert", TEXTS)


@pytest.fixture
def words(folder):
    """Three texts of different lengths: ids and mask, padded."""
    return AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")


def said_in_one_line(error) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


@torch.no_grad()
def test_each_pooling_is_what_transformers_gives_without_padding(folder):
    bert, tokenizer = (
        AutoModel.from_pretrained(folder).eval(),
        AutoTokenizer.from_pretrained(folder),
    )
    for pooling in ("mean", "cls", "pooler"):
        vectors = frozen_vectors(*load_sentence_encoder(str(folder), pooling), TEXTS)
        for vector, text in zip(vectors, TEXTS, strict=True):
            output = bert(**tokenizer(text, return_tensors="pt"))
            hidden = output.last_hidden_state[0]  # (L, W)
            plain = {"mean": hidden.mean(0), "cls": hidden[0], "pooler": output.pooler_output[0]}
            assert torch.allclose(vector, plain[pooling], atol=2e-3), pooling


def test_the_mean_is_that_of_the_trained_text_encoder_and_nothing_is_trained(folder, words):
    plain = TextEncoder.from_pretrained(str(folder)).eval()
    sentence = SentenceEncoder.from_pretrained(str(folder))
    ids, mask = words["input_ids"], words["attention_mask"]
    assert torch.equal(sentence(ids, mask), plain(ids, mask))
    assert not sentence.training and not any(p.requires_grad for p in sentence.parameters())


def test_the_centre_is_the_corpus_mean_and_is_saved_with_the_model(folder, tmp_path):
    encoder, tokenizer = load_sentence_encoder(str(folder), "cls")
    raw = frozen_vectors(encoder, tokenizer, TEXTS)
    encoder.centre_on(raw)
    centred = frozen_vectors(encoder, tokenizer, TEXTS)
    assert torch.allclose(centred, raw - raw.mean(0), atol=1e-6)
    assert centred.mean(0).abs().max() < 1e-6
    encoder.centre_on(centred)
    assert torch.allclose(frozen_vectors(encoder, tokenizer, TEXTS), centred, atol=1e-6)
    encoder.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again, its_tokenizer = load_sentence_encoder(str(tmp_path))
    assert again.pooling == "cls"
    assert torch.equal(frozen_vectors(again, its_tokenizer, TEXTS), centred)
    other = SentenceEncoder.from_pretrained(str(tmp_path), "mean")
    assert not other.centre.any(), "a centre of another pooling means nothing"
    for vectors in (torch.zeros(0, encoder.width), torch.zeros(2, 3)):
        with pytest.raises(ValueError, match="centre: give vectors"):
            encoder.centre_on(vectors)


def test_weights_that_a_folder_lacks_are_never_random(folder, tmp_path):
    unpooled = BertModel.from_pretrained(folder, add_pooling_layer=False)
    unpooled.save_pretrained(tmp_path)
    SentenceEncoder.from_pretrained(str(tmp_path), "mean")
    with pytest.raises(DataError, match="pooler.dense.bias are missing") as error:
        SentenceEncoder.from_pretrained(str(tmp_path), "pooler")
    assert "text_encoder.name_or_path" in said_in_one_line(error)


def test_a_model_without_a_pooler_says_so(tmp_path):
    sizes = {"vocab_size": 20, "dim": 16, "hidden_dim": 16, "n_layers": 1, "n_heads": 2}
    DistilBertModel(DistilBertConfig(**sizes)).save_pretrained(tmp_path)
    assert SentenceEncoder.from_pretrained(str(tmp_path)).width == 16
    for pooling, said in (("pooler", "DistilBertModel has none"), ("max", "choose mean, cls")):
        with pytest.raises(ConfigError, match=rf"text_encoder\.pooling.*{said}"):
            SentenceEncoder.from_pretrained(str(tmp_path), pooling)


def test_what_cannot_be_loaded_is_one_line(folder, tmp_path):
    for name, edit in (("none", None), ("kind", "config.json"), ("weights", "model.safetensors")):
        place = tmp_path / name
        if edit:
            save_bert(place, TEXTS)
            (place / edit).write_text('{"model_type": "vibes"}' if name == "kind" else "broken")
        with pytest.raises(DataError, match=f"{name}' cannot be loaded") as error:
            load_sentence_encoder(str(place))
        said_in_one_line(error)


def test_a_tokenizer_that_is_missing_or_another_model_s_is_refused(folder, tmp_path):
    SentenceEncoder.from_pretrained(str(folder)).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="its tokenizer has 5 tokens") as error:
        load_sentence_encoder(str(tmp_path))  # transformers alone would make an empty one
    assert "same folder" in said_in_one_line(error)
    larger = save_bert(tmp_path / "larger", [*TEXTS, "QRS 0123456789"])
    AutoTokenizer.from_pretrained(larger).save_pretrained(tmp_path)
    with pytest.raises(DataError, match="tokens, the model"):
        load_sentence_encoder(str(tmp_path))
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert load_sentence_encoder(str(tmp_path))[0].width == 32


# -- the short name ------------------------------------------------------------------------------


@pytest.fixture
def minilm(tmp_path, monkeypatch):
    """The place of a fetched MiniLM, in a checkout of its own."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path / "checkpoints" / "pretrained" / "minilm"


def test_a_short_name_is_its_folder_once_it_is_fetched(minilm):
    with pytest.raises(DataError, match="'minilm' is not fetched yet; run `make minilm`") as error:
        load_sentence_encoder("minilm")
    said_in_one_line(error)
    save_bert(minilm, TEXTS)
    seal(minilm)
    assert find_text_encoder("minilm") == str(minilm)
    assert load_sentence_encoder("minilm")[0].width == load_sentence_encoder(str(minilm))[0].width
    for other in ("sentence-transformers/all-MiniLM-L6-v2", str(minilm.parent)):
        assert find_text_encoder(other) == other
    (minilm / "config.json").write_text("{}")
    with pytest.raises(DataError, match="config.json .*delete it and run `make minilm` again"):
        find_text_encoder("minilm")


def test_an_objective_is_given_the_folder_of_a_short_name(minilm, monkeypatch, tmp_path):
    save_bert(minilm, TEXTS)
    config = compose("smoke", ["text_encoder=minilm"])
    given = []
    monkeypatch.setattr(encoder_pretraining, "train_or_load", lambda f, k, train: train(f))
    monkeypatch.setattr(
        encoder_pretraining.objective, "pretrain", lambda *a: given.append(a[3].text.name_or_path)
    )
    monkeypatch.setattr(encoder_pretraining, "key_of", lambda *a, **k: {})
    encoder_pretraining.teach(
        config, config.objective, "mv", Given(0, config.text_encoder), tmp_path
    )
    assert given == [str(minilm)]


# -- the real model, where it was fetched --------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "cosine"),
    [
        ("left bundle branch block", "right bundle branch block", 0.965),
        ("left ventricular hypertrophy", "right ventricular hypertrophy", 0.970),
        ("first degree av block", "first-degree atrioventricular block", 0.618),
    ],
)
def test_minilm_finds_opposites_alike_and_long_forms_apart(one, other, cosine):
    if not (paths.checkpoints_dir("pretrained") / "minilm").is_dir():
        pytest.skip("all-MiniLM-L6-v2 is not fetched; `make minilm` does it")
    vectors = frozen_vectors(*load_sentence_encoder("minilm"), [one, other])
    assert vectors.shape == (2, 384)
    assert cosine_similarity(*vectors, dim=0).item() == pytest.approx(cosine, abs=2e-3)
