"""Test the token cache: each ECG is encoded once, and cached tokens equal fresh ones."""

import numpy as np
import pytest
import torch

from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.store import EcgStore
from ecg_lib.data.write_store import write_store
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.token_cache import encode, encode_store, encoder_input, weights_hash
from ecg_lib.errors import DataError
from ecg_lib.signal.leads import LEADS


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store") / "s", SimulatedCohort(patients=12, seed=1))


def encoder(seed=0, normalisation="lead_minmax", **reads):
    torch.manual_seed(seed)
    sizes = {"width": 16, "depth": 1, "heads": 2, "mlp": 32, "patch": 50}
    ecg_input = EcgInput(normalisation=normalisation, **reads)
    return StemVit(StemVitConfig(ecg_input=ecg_input, **sizes)).eval()


def test_cached_tokens_are_fresh_tokens_in_any_order(store, tmp_path):
    model = encoder()
    cache = encode_store(store, model, tmp_path / "f", batch_size=5)
    ids = store.records["ecg_id"].tolist()[::-1] + [store.records["ecg_id"].iloc[0]]
    fresh, cls = encode(store.mv(ids), model)
    assert torch.allclose(cache.get(ids), fresh, rtol=2e-3, atol=2e-3)
    assert np.allclose(cache.cls[cache.rows(ids)], cls, rtol=2e-3, atol=2e-3)


def test_a_store_is_encoded_once_and_again_only_for_another_encoder(store, tmp_path, monkeypatch):
    model, calls = encoder(), []
    plain = encode
    monkeypatch.setattr(
        "ecg_lib.encoders.token_cache.encode", lambda *a: calls.append(1) or plain(*a)
    )
    first = encode_store(store, model, tmp_path / "f").get(["simulated/000000"])
    encode_store(store, model, tmp_path / "f")
    assert len(calls) == 1
    other = encode_store(store, encoder(seed=1), tmp_path / "f").get(["simulated/000000"])
    assert len(calls) == 2 and not torch.equal(first, other)


def test_a_second_encoder_leaves_the_first_one_s_tokens_alone(store, tmp_path, monkeypatch):
    others = {"seed": encoder(seed=1), "input": encoder(normalisation="mv")}
    first = encode_store(store, encoder(), tmp_path / "f")
    tokens = {name: encode_store(store, other, tmp_path / "f") for name, other in others.items()}
    monkeypatch.setattr("ecg_lib.encoders.token_cache.encode", lambda *a: 1 / 0)
    again = encode_store(store, encoder(), tmp_path / "f")
    assert again.folder == first.folder and np.array_equal(again.tokens, first.tokens)
    for name, other in others.items():
        again = encode_store(store, other, tmp_path / "f")
        assert np.array_equal(again.tokens, tokens[name].tokens), name
        assert not np.array_equal(again.tokens, first.tokens), name


def test_a_changed_store_is_encoded_again(store, tmp_path):
    first = encode_store(store, encoder(), tmp_path / "f")
    other = write_store(tmp_path / "s", SimulatedCohort(patients=12, seed=2))
    second = encode_store(other, encoder(), tmp_path / "f")
    assert second.folder == first.folder and not np.array_equal(second.tokens, first.tokens)


def test_a_store_of_another_rate_is_refused_in_one_line_that_says_what_to_do(store, tmp_path):
    with pytest.raises(DataError, match="500 Hz.* 100 Hz.*--rate 500") as caught:
        encode_store(store, encoder(rate=500), tmp_path / "f")
    assert "\n" not in str(caught.value) and not (tmp_path / "f").exists()
    with pytest.raises(ValueError, match="1000 samples.* reads 5000"):  # also without a store
        encode(store.mv([0]), encoder(rate=500))


def test_a_store_without_a_lead_that_the_encoder_reads_is_refused(store, tmp_path):
    leads = store.manifest["leads"][:-1]
    less = EcgStore(store.folder, store.manifest | {"leads": leads}, store.records, store.signals)
    with pytest.raises(DataError, match="lead V6"):
        encode_store(less, encoder(), tmp_path / "f")
    encode_store(less, encoder(leads=("II", "V5")), tmp_path / "f")


def test_an_encoder_of_few_leads_is_given_these_by_name_in_its_order(store):
    signal, two = store.mv([0, 1]), encoder(leads=("V5", "II"), normalisation="mv")
    given = encoder_input(signal, two)
    assert np.allclose(given, signal[:, [LEADS.index("V5"), LEADS.index("II")]])
    assert encode(signal, two)[0].shape == (2, 20, 16)


def test_tokens_that_a_cache_could_not_mark_as_absent_are_refused(store):
    masking = encoder()
    whole = masking.forward

    def forward(ecg):
        output = whole(ecg)
        output["token_mask"] = torch.zeros(output.tokens.shape[:2], dtype=torch.bool)
        return output

    masking.forward = forward
    with pytest.raises(DataError, match="masks tokens"):
        encode(store.mv([0]), masking)


def test_an_interrupted_encoding_is_no_cache(store, tmp_path, monkeypatch):
    monkeypatch.setattr("ecg_lib.encoders.token_cache.encode", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encode_store(store, encoder(), tmp_path / "f")
    assert not [*tmp_path.rglob("encoded.json"), *tmp_path.rglob("tokens.npy")]


def test_an_ecg_never_encoded_is_named(store, tmp_path):
    cache = encode_store(store, encoder(), tmp_path / "f")
    with pytest.raises(DataError, match="ptbxl/00001"):
        cache.get(["ptbxl/00001"])


def test_the_encoder_s_own_normalisation_scales_its_input(store):
    signal = store.mv([0])
    scaled = encoder_input(signal, encoder())
    assert scaled.min() == -1 and scaled.max() == 1
    assert np.allclose(encoder_input(signal, encoder(normalisation="mv")), signal)


def test_every_weight_and_buffer_counts_in_the_hash():
    model = encoder()
    before = weights_hash(model)
    assert weights_hash(encoder()) == before
    model.stem[1].running_mean += 1  # a buffer: batch-norm statistics
    assert weights_hash(model) != before
