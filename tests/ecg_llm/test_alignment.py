"""Test alignment: slots learn the names of findings from training ECGs, nothing else changes."""

import numpy as np
import pandas as pd
import pytest
import torch

from ecg_lib.config import Alignment
from ecg_lib.ecg_llm.alignment import (
    align,
    embed_names,
    match_norm,
    name_pieces,
    slot_scores,
    stated,
    target_codes,
)
from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.encoders.token_cache import EcgTokens, weights_hash
from ecg_lib.errors import DataError
from ecg_lib.evaluation.slot_names import name_scores, slot_auc, slot_cells
from ecg_lib.evaluation.zero_shot import rank_correlation
from ecg_lib.knowledge.findings import FINDINGS, name_of
from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT, zero_shot_codes
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs

CODES = ["NORM", "INVT", "PACE", "LAFB", "LPFB", "AFIB"]
NAMES = {code: name_of(code) for code in CODES}
SEEN, OTHERS = slice(0, 600), slice(600, 900)
QUICK = Alignment(epochs=8, batch_size=50, learning_rate=1e-2)


@pytest.fixture(scope="module", params=["whole names", "names in pieces"])
def llm(request):
    """A language model with random weights whose tokenizer keeps names whole or splits them."""
    torch.manual_seed(0)
    names = list(FINDINGS["name"])
    whole = request.param == "whole names"
    tokenizer = train_byte_pairs(names, 600 if whole else 330, names if whole else ())
    pieces = [len(name_pieces(name, tokenizer)) for name in NAMES.values()]
    assert (max(pieces) == 1) if whole else (min(pieces) > 1)
    return tiny_llama(tokenizer, width=32, depth=1, heads=2).requires_grad_(False), tokenizer


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """ECGs with 20 tokens; a finding is a direction added to two neighbouring tokens."""
    folder, rng = tmp_path_factory.mktemp("tokens"), np.random.default_rng(0)
    n = OTHERS.stop
    values = rng.normal(size=(n, 20, 16))
    directions = 4 * np.linalg.qr(rng.normal(size=(16, 16)))[0]
    has = rng.random((n, len(CODES))) < 0.3
    for ecg, finding in zip(*np.nonzero(has), strict=True):
        at = rng.integers(0, 19)
        values[ecg, at : at + 2] += directions[finding]
    np.save(folder / "tokens.npy", values.astype(np.float16))
    np.save(folder / "cls.npy", values[:, 0].astype(np.float16))
    ids = [f"simulated/{i:06d}" for i in range(n)]
    labels = [{c: 100.0 for c, own in zip(CODES, row, strict=True) if own} for row in has]
    return EcgTokens(folder, ids), pd.DataFrame({"ecg_id": ids, "labels": labels})


def aligned(llm, cohort, folder, settings=QUICK):
    model, tokenizer = llm
    tokens, records = cohort
    torch.manual_seed(0)
    projector = Projector(16, 32)
    given = model.get_input_embeddings(), tokenizer
    scale = align(projector, tokens, records.iloc[SEEN], *given, settings, folder, seed=0)
    others = records.iloc[OTHERS]
    scores = name_scores(projector, scale, NAMES, *given, tokens, others["ecg_id"].tolist())
    return projector, scores, stated(others["labels"].tolist(), CODES)


def test_slots_alone_find_what_they_were_taught_in_other_ecgs(llm, cohort, tmp_path):
    before = weights_hash(llm[0])
    projector, scores, targets = aligned(llm, cohort, tmp_path)
    assert weights_hash(llm[0]) == before, "the language model keeps every byte"
    targets.index = scores.index
    found = slot_auc(scores, targets)
    assert found.drop("AFIB").min() > 90
    assert abs(rank_correlation(scores.drop(columns="AFIB"))) < 0.3, "each name a score of its own"
    named, curve = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("names", "curve"))
    assert set(named["code"]) == {*CODES} - {"AFIB"} and (named["ecgs"] > 100).all()
    assert curve["loss"].iloc[-1] < curve["loss"].iloc[0] - 0.1


def test_the_names_of_table_4_are_learned_only_if_asked_for(llm, cohort, tmp_path):
    asked = Alignment(**{**vars(QUICK), "zero_shot_names": True})
    _, scores, targets = aligned(llm, cohort, tmp_path, asked)
    targets.index = scores.index
    found = slot_auc(scores, targets)
    assert found.min() > 90
    mean, alike = slot_cells(scores, targets)
    assert mean["value"] == pytest.approx(found.mean()) and mean["n"] == len(found)
    assert alike["value"] == rank_correlation(scores) < 0.3
    rare = targets.assign(AFIB=[1.0, *[0.0] * (len(targets) - 1)])
    assert slot_cells(scores, rare, min_positives=2)[0]["n"] == len(found) - 1
    assert "AFIB" in set(pd.read_csv(tmp_path / "names.csv")["code"])


def test_no_target_names_a_label_of_table_4():
    often = [dict.fromkeys(FINDINGS.index, 100.0)] * 10 + [{}] * 10
    names = [name_of(code) for code in target_codes(often, zero_shot_names=False)]
    assert len(names) > 40
    assert not [name for name in names for text in LABEL_TEXT.values() if text in name]
    assert set(target_codes(often, True)) == {*target_codes(often, False), *zero_shot_codes()}


def test_a_finding_is_learned_where_enough_ecgs_have_it_and_lack_it():
    labels = [{"INVT": 100.0, "PACE": 50.0, "NORM": 0.0}] * 10 + [{"INVT": 100.0}] * 10
    assert target_codes(labels, False) == ["NORM"], "INVT is always there, PACE never certain"
    with pytest.raises(DataError, match="alignment"):
        target_codes(labels[:10], False)


def test_an_uncertain_statement_is_neither_yes_nor_no():
    table = stated([{"INVT": 100.0, "PACE": 50.0, "NORM": 0.0}, {}], ["INVT", "PACE", "NORM"])
    assert table.iloc[1].tolist() == [0, 0, 0]
    assert table.loc[0, ["INVT", "NORM"]].tolist() == [1, 1] and np.isnan(table.loc[0, "PACE"])


def test_a_name_in_pieces_is_their_mean_as_spelt_within_a_text(llm):
    model, tokenizer = llm
    table = model.get_input_embeddings()
    (found,) = embed_names(["inverted t-waves"], tokenizer, table)
    ids = name_pieces("inverted t-waves", tokenizer)
    assert tokenizer.decode(ids).strip() == "inverted t-waves"
    text = tokenizer("and inverted t-waves", add_special_tokens=False)["input_ids"]
    assert text[-len(ids) :] == ids
    assert torch.allclose(found, table.weight[ids].mean(0))


def test_a_large_scale_asks_the_nearest_slot_and_length_does_not_count():
    words = torch.eye(3)
    slots = torch.tensor([[[5.0, 0.0, 0.0], [0.0, 0.1, 0.0]]])  # one slot per name, for two names
    scores = slot_scores(slots, words, 50.0)[0]
    assert torch.allclose(scores[:2], scores[0].expand(2), atol=1e-5) and scores[0] > scores[2] + 40
    assert torch.allclose(slot_scores(slots, words, 1e-6), torch.zeros(1, 3), atol=1e-4)


def test_auc_leaves_out_what_is_not_known():
    scores = pd.DataFrame({"a": [3.0, 2.0, 1.0, 9.0], "b": [1.0, 1.0, 1.0, 1.0]})
    targets = pd.DataFrame({"a": [True, False, False, None], "b": [True] * 4}, dtype="boolean")
    found = slot_auc(scores, targets)
    assert found["a"] == 100 and np.isnan(found["b"])
    assert rank_correlation(pd.DataFrame({"a": [1, 2, 3], "b": [2, 3, 4]})) == pytest.approx(1)


def test_slots_become_as_long_as_names_and_keep_their_directions():
    torch.manual_seed(0)
    projector, z, names = Projector(16, 32), torch.randn(5, 20, 16), 7 * torch.randn(9, 32)
    before = projector(z)
    match_norm(projector, before, names)
    after = projector(z)
    torch.testing.assert_close(after.norm(dim=-1).mean(), names.norm(dim=-1).mean())
    same = torch.nn.functional.cosine_similarity(before, after, dim=-1)
    torch.testing.assert_close(same, torch.ones_like(same))
