"""Test flat-line and noise stand-ins for an ECG, and that questions can be asked about them."""

import numpy as np
import pandas as pd
import pytest
import torch

from ecg_lib.data.prepare import prepare
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.token_cache import encode, encode_store
from ecg_lib.evaluation.no_patient import (
    FLAT,
    TokensBeside,
    lead_amplitudes,
    no_patient_tokens,
    without_patient,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepare("simulated", None, tmp_path_factory.mktemp("ecgs"), patients=20, seed=3)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    config = StemVitConfig(
        ecg_input=EcgInput(normalisation="mv"), width=16, depth=1, heads=2, mlp=16, patch=50
    )
    return StemVit(config).eval()


@pytest.fixture(scope="module")
def others(store, encoder):
    return no_patient_tokens(encoder, store, seed=0, noises=3)


def test_a_flat_line_is_a_signal_of_zeros_that_the_encoder_has_read(store, encoder, others):
    tokens, _ = encode(np.zeros((1, 12, store.samples), np.float32), encoder)
    assert torch.allclose(others[FLAT], tokens[0], atol=1e-6)
    assert not torch.equal(others[FLAT], torch.zeros_like(others[FLAT]))
    assert list(others) == [FLAT, "noise 0", "noise 1", "noise 2"]
    assert not torch.allclose(others["noise 0"], others["noise 1"], atol=1e-3)


def test_noise_is_as_loud_as_the_cohort_lead_by_lead(store):
    loud = lead_amplitudes(store, seed=0)
    each = store.mv(range(len(store))).std(axis=-1)
    assert loud.shape == (12,)
    assert ((each.min(axis=0) < loud) & (loud < each.max(axis=0))).all()


def test_tokens_of_ecgs_and_of_no_ecg_come_in_the_order_asked_for(store, encoder, others, tmp_path):
    cached = encode_store(store, encoder, tmp_path)
    a, b = store.records["ecg_id"].iloc[:2]
    got = TokensBeside(cached, others).get([b, FLAT, a, "noise 1", b])
    own = cached.get([a, b])
    wanted = torch.stack([own[1], others[FLAT], own[0], others["noise 1"], own[1]])
    assert torch.equal(got, wanted)
    assert torch.equal(TokensBeside(cached, others).get([FLAT]), others[FLAT][None])


def test_one_sentence_is_asked_of_the_same_signals_and_two_ecgs_of_two():
    rows = pd.DataFrame(
        {
            "question": ["x", "y", "x", "z"],
            "ecg_id": [["a"], ["a", "b"], ["c"], ["d", "e"]],
        },
        index=[5, 6, 7, 8],
    )
    noises = [f"noise {k}" for k in range(4)]
    replaced = without_patient(rows, noises)["ecg_id"]
    assert replaced.index.tolist() == [5, 6, 7, 8]
    assert replaced[5] == replaced[7] and [len(ids) for ids in replaced] == [1, 2, 1, 2]
    assert all(len(set(ids)) == len(ids) for ids in replaced)
    assert without_patient(rows, [FLAT])["ecg_id"].tolist() == [[FLAT], [FLAT] * 2] * 2
    assert rows["ecg_id"][5] == ["a"]
