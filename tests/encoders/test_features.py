"""Features: each ECG is encoded once, and the cache says what the encoder says."""

import numpy as np
import pytest
import torch

from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.store import write_store
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.token_cache import encode, encode_store, encoder_input, weights_hash
from ecg_lib.errors import DataError


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
