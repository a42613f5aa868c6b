"""Tests of training on fresh simulated ECGs, and of reading other cohorts with the result."""

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score as auc

from ecg_lib.__main__ import main
from ecg_lib.config import compose
from ecg_lib.data import prepare
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.evaluation import transfer as transfer
from ecg_lib.experiments.encoder_pretraining import encoder_builder
from ecg_lib.intervals import auc_over_seeds
from ecg_lib.knowledge.findings import FINDINGS, transfer_findings
from ecg_lib.objectives import objective
from ecg_lib.objectives.findings_and_text import FindingsAndText
from ecg_lib.objectives.parts.augment import Augmentation, augment
from ecg_lib.objectives.parts.clip_text import a_statement
from ecg_lib.objectives.parts.fresh_ecgs import FreshEcgs
from ecg_lib.objectives.parts.gather import true_of
from ecg_lib.objectives.parts.losses import clip_loss
from ecg_lib.training.muon import MuonAdamW

REPORTS = ["sinus rhythm. normal ecg.", "sinus rhythm; left axis deviation.", "atrial fibrillation"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a reader that was trained for a few steps at smoke size."""
    folder = tmp_path_factory.mktemp("reader")
    teach(folder)
    return folder


def teach(folder, *overrides):
    """Train as the smoke profile does, in mV."""
    config = compose("smoke", list(overrides))
    section, given = config.simulated.objective, objective.Given(0, config.text_encoder)
    build = encoder_builder(config, "mv")
    objective.pretrain(section["name"], build, objective.settings(section), given, folder)


@pytest.mark.parametrize(("optimizer", "by_muon"), [("adamw", False), ("muon", True)])
def test_the_optimizer_of_a_reader_is_that_of_its_profile(
    optimizer, by_muon, tmp_path, monkeypatch
):
    stepped = []
    monkeypatch.setattr(MuonAdamW, "step", lambda self, closure=None: stepped.append(self))
    teach(tmp_path, f"simulated.objective.optimizer={optimizer}")
    assert bool(stepped) == by_muon
    assert all(muon.kernels for muon in stepped)  # Muon also updates the encoder's convolutions


def test_fresh_batches_repeat_by_number_and_never_by_content():
    ecgs = FreshEcgs(3, 8)
    signal, findings, reports = ecgs.batch(5)
    same = FreshEcgs(3, 8).batch(5)
    assert torch.equal(signal, same[0]) and reports == same[2]
    for other in (ecgs.batch(6), FreshEcgs(4, 8).batch(5)):
        distance = (signal[:, None] - other[0][None]).abs().amax((2, 3))
        assert distance.min() > 0.01
    assert signal.shape == (8, 12, 1000)
    assert findings.shape == (8, len(transfer_findings()))
    assert set(findings.unique().tolist()) <= {0, 1}


def test_findings_of_a_batch_are_the_labels_of_its_ecgs():
    ecgs = FreshEcgs(1, 64)
    table = transfer_findings().set_index("finding")
    targets = pd.DataFrame(ecgs.batch(0)[1].numpy(), columns=table.index).astype(bool)
    labels = [draft.labels for draft in ecgs.drafts(0)]
    assert targets["NORM"].tolist() == ["NORM" in one for one in labels]
    expected = [bool({"IMI", "ILMI", "IPMI", "IPLMI"} & set(one)) for one in labels]
    assert targets["inferior MI"].tolist() == expected


def test_every_reported_finding_is_drawn_by_the_simulator():
    drafts = [draft for step in range(12) for draft in FreshEcgs(0, 128).drafts(step)]
    labels = {code for draft in drafts for code in draft.labels}
    for codes in transfer_findings()["codes"]:
        assert set(codes) & labels, codes
        assert set(codes) <= set(FINDINGS.index)


def test_augmentation_keeps_rhythm_and_roughens_amplitude():
    ecg = FreshEcgs(0, 4).batch(0)[0]
    once = augment(ecg, torch.Generator().manual_seed(1), Augmentation(lead_dropout=0))
    again = augment(ecg, torch.Generator().manual_seed(1), Augmentation(lead_dropout=0))
    other = augment(ecg, torch.Generator().manual_seed(2), Augmentation(lead_dropout=0))
    assert torch.equal(once, again) and not torch.equal(once, other)
    steep = [np.abs(np.diff(x.numpy(), axis=-1)).sum(1) for x in (ecg, once)]
    for before, after in zip(*steep, strict=True):
        assert np.corrcoef(before, after)[0, 1] > 0.8
        assert np.corrcoef(before[5:], after[:-5])[0, 1] < 0.5  # nothing is shifted by 50 ms
    nothing = Augmentation(0.0, 0.0, (0.0, 1e-9), (50.0, 51.0), 0.0, 0.0, 0.0)
    kept = augment(ecg, torch.Generator(), nothing)
    assert torch.allclose(kept, ecg - ecg.mean(-1, keepdim=True), atol=1e-4)


def test_lead_dropout_flattens_whole_leads():
    ecg = FreshEcgs(0, 8).batch(0)[0]
    flat = augment(ecg, torch.Generator().manual_seed(0), Augmentation(lead_dropout=0.5)) == 0
    assert 0.2 < flat.all(-1).float().mean() < 0.8
    assert torch.equal(flat.any(-1), flat.all(-1))


def test_a_text_is_true_of_every_ecg_whose_report_contains_it():
    texts = ["sinus rhythm", "left axis deviation", "atrial fibrillation"]
    assert true_of(texts, REPORTS).tolist() == [
        [True, False, False],
        [True, True, False],
        [False, False, True],
    ]


def test_pieces_are_statements_of_their_own_report():
    generator = torch.Generator().manual_seed(0)
    for report in REPORTS:
        pieces = {a_statement(report, 0.0, generator) for _ in range(20)}
        assert len(pieces) == (1 if report == REPORTS[2] else 2)
        assert all(piece in report for piece in pieces)
        assert a_statement(report, 1.0, generator) == report


def test_contrast_with_only_the_own_text_true_is_plain_clip():
    vectors = torch.nn.functional.normalize(torch.randn(2, 6, 4), dim=-1)
    scale = torch.tensor(7.0)
    plain = clip_loss(*vectors, scale)
    own = torch.eye(6, dtype=torch.bool)
    assert torch.isclose(clip_loss(*vectors, scale, positives=own), plain)
    everything = torch.ones(6, 6, dtype=torch.bool)
    same = torch.ones(6, 4) / 2
    loss = clip_loss(same, same, scale, positives=everything)
    assert torch.isclose(loss, torch.tensor(6.0).log())


def test_residual_stem_gives_the_tokens_of_the_papers():
    sizes = {"width": 32, "depth": 1, "heads": 2, "mlp": 64}
    for patch in (10, 20):
        shapes = {
            stem: StemVit(StemVitConfig(patch=patch, stem=stem, **sizes))
            .eval()(torch.zeros(2, 12, 1000))
            .tokens.shape
            for stem in ("paper", "residual")
        }
        assert shapes["paper"] == shapes["residual"] == (2, 1000 // patch, 32)


def test_one_seed_is_the_plain_auc_and_several_are_averaged():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3 == 0
    scores = y + rng.normal(0, 1, (2, 60))
    patients = np.arange(60) // 2
    plain = auc_over_seeds(y, scores[0], 200, 1, 10, patients)
    assert auc_over_seeds(y, scores[:1], 200, 1, 10, patients) == plain
    both = auc_over_seeds(y, scores, 200, 1, 10, patients)
    assert np.isclose(both.value, np.mean([auc(y, s) for s in scores]))
    twice = auc_over_seeds(y, scores[[0, 0]], 200, 1, 10, patients)
    assert np.allclose([twice.ci_low, twice.ci_high], [plain.ci_low, plain.ci_high])


def test_cells_average_only_findings_with_enough_ecgs():
    names = list(transfer_findings()["finding"])
    n = 40
    targets = pd.DataFrame(False, range(n), names)
    targets.loc[:19, "AF"] = True
    targets.loc[:9, "LVH"] = True
    targets.loc[:4, "SB"] = True
    scores = targets.astype(float)
    scores["LVH"] = 0.0
    cells = pd.DataFrame(transfer.transfer_cells(targets, [scores], np.arange(n), 50, 0, 10))
    cells = cells.set_index("row")
    assert cells.at["AF", "value"] == 100 and cells.at["LVH", "value"] == 50
    assert np.isnan(cells.at["SB", "value"]) and cells.at["SB", "n"] == 5
    assert cells.at[transfer.MEAN, "value"] == 75 and cells.at[transfer.MEAN, "n"] == 2


def test_a_saved_reader_reads_as_before(trained, tmp_path):
    reader = FindingsAndText.from_pretrained(trained)
    reader.save_pretrained(tmp_path)
    again = FindingsAndText.from_pretrained(tmp_path)
    store = prepare.prepare("simulated", None, tmp_path / "store", patients=30, seed=9)
    one, two = (transfer.read_store(r, store) for r in (reader, again))
    for reading in transfer.READINGS:
        assert one[reading].equals(two[reading])
        assert one[reading].shape == (len(store), len(transfer_findings()))
    assert (pd.read_csv(trained / "curve.csv")["loss"].dropna() > 0).all()


def test_calibration_folds_are_reported_apart(tmp_path):
    store = prepare.prepare("simulated", None, tmp_path / "store", patients=12, seed=9)
    assert list(transfer.parts_of(store, "Sim")) == ["Sim"]
    store.records["attributes"] = [{"strat_fold": 1 + i % 10} for i in range(len(store))]
    parts = transfer.parts_of(store, "PTB")
    blind = parts["PTB folds 7-10"]
    assert {1 + i % 10 for i in blind} == {7, 8, 9, 10}
    assert len(blind) + len(parts["PTB folds 1-6 (calibrated)"]) == len(store)


def test_the_command_prints_and_writes_the_table(trained, tmp_path, capsys):
    prepare.prepare("simulated", None, tmp_path / "store", patients=60, seed=9)
    out = tmp_path / "table.csv"
    command = [
        "evaluate",
        "transfer",
        "--reader",
        str(trained),
        "--cohort",
        str(tmp_path / "store"),
        "--out",
        str(out),
        "--resamples",
        "20",
    ]
    assert main(command) == 0
    assert transfer.MEAN in capsys.readouterr().out
    table = pd.read_csv(out)
    assert set(table["column"]) == {f"simulated, mv, {reading}" for reading in transfer.READINGS}
    assert set(table["row"]) == {transfer.MEAN, *transfer_findings()["finding"]}
    known = table.dropna(subset="ci_low")
    assert len(known) and (known["ci_low"] <= known["value"] + 1e-9).all()


def test_an_ensemble_reads_by_the_mean_of_its_heads(trained, tmp_path):
    reader = FindingsAndText.from_pretrained(trained)
    contrary = copy.deepcopy(reader)
    with torch.no_grad():
        for weights in contrary.head.linear.parameters():
            weights.neg_()
    store = prepare.prepare("simulated", None, tmp_path / "store", patients=60, seed=9)

    def head_of(column, readers):
        table = transfer.transfer_table(readers, {"sim": store}, 20, 0, 10)
        return table[table["column"] == f"sim, {column}, head"].set_index("row")["value"].dropna()

    alone = head_of("mv", {"mv": [reader]})
    undecided = head_of("ensemble", {"mv": [reader], "again": [contrary]})
    seeds = head_of("mv ensemble", {"mv": [reader, reader]})
    assert len(alone) > 3 and seeds.equals(alone) and (undecided == 50).all()
    assert head_of("ensemble", {"mv": [reader, reader]}).empty  # only one normalisation
    assert head_of("mv ensemble", {"mv": [reader]}).empty  # one reader is no ensemble


def test_a_folder_without_a_reader_is_one_line_and_exit_code_two(tmp_path, capsys):
    assert main(["evaluate", "transfer", "--reader", str(tmp_path), "--cohort", "nowhere"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "findings.json" in told
