"""Linear probe and zero-shot of saved encoders: who is trained on, and what comes out."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertModel

from ecg_lib.__main__ import main
from ecg_lib.data.prepare import find_cohort, prepare
from ecg_lib.data.sources.ptbxl import PtbXl
from ecg_lib.data.store import write_store
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.text_encoder import TextEncoder, train_report_tokens
from ecg_lib.errors import DataError
from ecg_lib.evaluation import linear_probe as lp
from ecg_lib.evaluation.statistics import auc
from ecg_lib.objectives.findings_and_text import FindingsAndText
from ecg_lib.objectives.loading import load_clip, load_encoder
from ecg_lib.objectives.parts.clip import EcgClip


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A saved reader of random weights; its CLIP is in the folder below."""
    torch.manual_seed(0)
    tokenizer = train_report_tokens(["sinus rhythm", "atrial fibrillation"] * 3, 300)
    text = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
        ),
        False,
    )
    config = StemVitConfig(
        ecg_input=EcgInput(normalisation="mv"), width=32, depth=1, heads=2, mlp=32, patch=50
    )
    clip = EcgClip(StemVit(config), TextEncoder(text), width=8)
    folder = tmp_path_factory.mktemp("reader")
    FindingsAndText(clip, tokenizer, ["AF"]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A larger and a smaller simulated cohort of different patients."""
    root = tmp_path_factory.mktemp("stores")
    return [
        prepare("simulated", None, root / str(seed), patients=n, seed=seed)
        for seed, n in ((1, 150), (2, 60))
    ]


def run(capsys, *arguments):
    code = main(["evaluate", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


class Few(PtbXl):
    """The first 200 ECGs of PTB-XL at hand."""

    def index(self):
        return super().index()[:200]


def part(n, patients, seed, informative=True):
    """Features whose first column is the label, or is not."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    features = rng.normal(size=(n, 5)) + np.outer(truth * informative, [3, 0, 0, 0, 0])
    return lp.Part(features, pd.DataFrame({"A": truth}), np.arange(n) % patients)


def test_superclasses_are_the_diagnostic_classes_of_ptb_xl(real_data):
    table = pd.read_csv(find_cohort(real_data, "ptbxl") / "scp_statements.csv", index_col=0)
    diagnostic = table["diagnostic_class"].dropna()
    for name, codes in lp.superclass_codes().items():
        beyond = {"LBBB", "RBBB"} & set(codes)  # of other data sets, completeness not stated
        assert set(codes) - beyond == set(diagnostic.index[diagnostic == name])


def test_any_likelihood_counts_and_an_ecg_may_have_several_superclasses():
    records = pd.DataFrame({"labels": [{"IMI": 15, "LVH": 0}, {"NORM": 100}, {"SR": 0}]})
    targets = lp.probe_targets(records)
    assert list(targets.columns) == ["NORM", "MI", "STTC", "CD", "HYP"]
    assert targets.to_numpy().tolist() == [
        [False, True, False, False, True],
        [True, False, False, False, False],
        [False] * 5,
    ]


def test_a_share_draws_patients_and_grows_with_the_share():
    patients = np.repeat(np.arange(50), 3)
    targets = pd.DataFrame({"MI": np.arange(150) % 30 < 3})

    def drawn(share, seed):
        return lp.drawn_rows(targets, patients, share, seed)

    small, large = (set(drawn(share, 0)) for share in (0.1, 0.5))
    assert small < large and len(small) == 15
    assert {patients[row] for row in small}.isdisjoint(patients[r] for r in large - small)
    assert set(drawn(0.1, 1)) != small
    assert len(drawn(0.001, 0)) == 6


@pytest.mark.parametrize("make", [lp.logistic, lp.boosting])
def test_the_probe_reads_what_is_there_and_nothing_else(make):
    test = part(300, 300, 1)
    known = lp.probe_table(part(300, 300, 0), test, [1.0], [0], 50, make=make)
    row = known.set_index("label").loc["A"]
    assert row["value"] > 90 and row["ci_low"] < row["value"] < row["ci_high"]
    assert row["n"] == test.targets["A"].sum() and row["train_ecgs"] == 300
    noise = (
        lp.probe_table(
            part(300, 300, 0, False), part(300, 300, 1, False), [1.0], [0], 50, make=make
        )
        .set_index("label")
        .loc["A"]
    )
    assert noise["ci_low"] < 55 and noise["value"] < 65


def test_scales_of_features_do_not_matter_to_the_probe():
    train, test = part(200, 200, 0), part(200, 200, 1)
    scaled = [
        lp.Part(p.features * [1, 1e3, 1e-3, 1, 1], p.targets, p.patients) for p in (train, test)
    ]
    one, two = (lp.probe_table(a, b, [0.2, 1.0], [0, 1], 20) for a, b in ((train, test), scaled))
    pd.testing.assert_frame_equal(one, two, atol=0.05)
    assert one.groupby("share")["seeds"].first().tolist() == [2, 1]


def test_a_label_that_the_drawn_patients_do_not_have_is_at_chance():
    train = part(40, 40, 0)
    train.targets["A"] = False
    table = lp.probe_table(train, part(100, 100, 1), [1.0], [0], 20).set_index("label")
    assert table.at["A", "value"] == 50


def test_one_store_is_parted_by_folds_or_splits_and_patients_stay_apart(stores):
    large, small = stores
    train, test = lp.disjoint_rows(large, large)
    patients = large.records["patient_id"]
    assert not set(patients.iloc[train]) & set(patients.iloc[test])
    assert set(large.records["split"].iloc[test]) == {"test"}
    with pytest.raises(DataError, match="give one store for both"):
        lp.disjoint_rows(large, small)  # simulated patients of two cohorts bear the same names


def test_ptb_xls_folds_part_its_store(real_data, tmp_path):
    root = find_cohort(real_data, "ptbxl")
    store = write_store(tmp_path / "s", Few(root, intervals=False))
    train, test = lp.disjoint_rows(store, store)
    folds = store.attributes.map(lambda known: known["strat_fold"])
    assert set(folds.iloc[test]) <= {9, 10} and not set(folds.iloc[train]) & {9, 10}
    assert len(train) and len(test)
    ecgs = store.records.iloc[:40]
    features = lp.hand_features(type(store)(store.folder, store.manifest, ecgs, store.signals[:40]))
    assert features.shape[0] == 40 and np.isfinite(features).mean() > 0.9


def test_the_linear_probe_prints_and_writes_its_table(capsys, reader, stores, tmp_path):
    out = tmp_path / "probe.csv"
    folder = stores[0].folder
    code, said, err = run(
        capsys,
        "linear-probe",
        "--model",
        reader,
        "--train",
        folder,
        "--test",
        folder,
        "--share",
        0.3,
        1,
        "--seeds",
        0,
        1,
        "--resamples",
        20,
        "--out",
        out,
    )
    assert code == 0, err
    table = pd.read_csv(out)
    assert set(table["label"]) == {lp.MEAN, *lp.SUPERCLASSES} and "0.3" in said
    assert table.groupby("share")["train_ecgs"].first().is_monotonic_increasing
    norm = table[(table["label"] == "NORM") & (table["share"] == 1)].iloc[0]
    assert norm["value"] > 55, "random weights, yet they see rate and amplitude"
    assert norm["ci_low"] <= norm["value"] <= norm["ci_high"]


def test_zero_shot_of_a_saved_clip_is_its_cosine_to_the_labels(capsys, reader, stores, tmp_path):
    out = tmp_path / "zero.csv"
    folder = stores[1].folder
    for model in (reader, reader / "clip"):
        code, said, err = run(
            capsys,
            "zero-shot",
            "--model",
            model,
            "--cohort",
            folder,
            "--out",
            out,
            "--resamples",
            20,
        )
        assert code == 0, err
        table = pd.read_csv(out).set_index("label")
        assert list(table.index) == ["AF", "LBBB", "RBBB", "LVH", "RVH", "SA", "SB", "SR", "ST"]
        assert 0 < table.at["SR", "value"] < 100 and "SR" in said
    clip, tokenizer = load_clip(reader)
    mv = torch.from_numpy(stores[1].mv(slice(None)))
    text = tokenizer(["sinus rhythm"], return_tensors="pt")
    with torch.no_grad():
        cosine = clip.embed_ecg(mv) @ clip.embed_text(text["input_ids"], text["attention_mask"]).T
    truth = ["SR" in labels for labels in stores[1].labels]
    assert 100 * auc(truth, cosine[:, 0]) == pytest.approx(table.at["SR", "value"], abs=0.2)


def test_bad_input_is_one_line_and_exit_code_two(capsys, reader, stores, tmp_path):
    store = stores[0].folder
    both = ("--train", store, "--test", store)
    for arguments, words in (
        (("zero-shot", "--model", tmp_path, "--cohort", store), "projections.safetensors"),
        (("zero-shot", "--model", reader, "--cohort", tmp_path), "no prepared ECGs"),
        (("zero-shot", "--model", reader, "--cohort", store, "--prompt", "AF"), "{label}"),
        (("linear-probe", "--model", tmp_path, *both), "no saved encoder"),
        (("linear-probe", "--model", reader, *both, "--share", 2), "--share"),
        (
            ("linear-probe", "--model", reader, "--train", store, "--test", stores[1].folder),
            "patients",
        ),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "") and err.count("\n") == 1 and words in err, err


def test_an_encoder_is_found_in_a_clip_a_reader_or_an_ecg_llm(reader, tmp_path):
    encoder = load_encoder(reader)
    encoder.save_pretrained(tmp_path / "encoder")  # as an ECG-LLM keeps it
    again = load_encoder(tmp_path)
    for one, two in zip(encoder.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
