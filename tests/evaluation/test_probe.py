"""Test linear probe and zero-shot evaluation of saved encoders, and the rows they train on."""

import numpy as np
import pandas as pd
import pytest
import torch
from ecg_folders import Listed
from sklearn.metrics import roc_auc_score as auc
from transformers import BertConfig, BertModel

from ecg_lib.__main__ import main
from ecg_lib.data.prepare import prepare
from ecg_lib.data.record import EcgRecord
from ecg_lib.data.write_store import write_store
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.text_encoder import TextEncoder, train_report_tokens
from ecg_lib.evaluation.hand_features import boosted
from ecg_lib.evaluation.macro_means import mean_name
from ecg_lib.evaluation.probe import MEAN, STRENGTH, Part, drawn_rows, linear, pooled, probe_table
from ecg_lib.evaluation.released_files import ENDINGS
from ecg_lib.evaluation.released_task import with_released
from ecg_lib.evaluation.task import load_task
from ecg_lib.experiments.controls import LABELS_ONLY, RANDOM
from ecg_lib.objectives.findings_and_text import FindingsAndText
from ecg_lib.objectives.loading import load_clip, load_encoder
from ecg_lib.objectives.parts.clip import EcgClip

SUPERCLASSES = load_task("superclasses.yaml").labels


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A saved `FindingsAndText` with random weights; its CLIP is in a subfolder."""
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


def part(n, patients, seed, informative=True):
    """Return a part whose first feature carries the label if `informative`."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.3
    features = rng.normal(size=(n, 5)) + np.outer(truth * informative, [3, 0, 0, 0, 0])
    return Part(features, pd.DataFrame({"A": truth}), np.arange(n) % patients)


def test_a_share_draws_patients_and_grows_with_the_share():
    patients = np.repeat(np.arange(50), 3)
    targets = pd.DataFrame({"MI": np.arange(150) % 30 < 3})

    def drawn(share, seed):
        return drawn_rows(targets, patients, share, seed)

    small, large = (set(drawn(share, 0)) for share in (0.1, 0.5))
    assert small < large and len(small) == 15
    assert {patients[row] for row in small}.isdisjoint(patients[r] for r in large - small)
    assert set(drawn(0.1, 1)) != small
    assert len(drawn(0.001, 0)) == 6


@pytest.mark.parametrize("reading", [linear, boosted])
def test_the_probe_reads_what_is_there_and_nothing_else(reading):
    test = part(300, 300, 1)
    known = probe_table(part(300, 300, 0), test, [1.0], [0], 50, reading=reading)
    row = known.set_index("label").loc["A"]
    assert row["value"] > 90 and row["ci_low"] < row["value"] < row["ci_high"]
    assert row["n"] == test.targets["A"].sum() and row["train_ecgs"] == 300
    noise = (
        probe_table(
            part(300, 300, 0, False), part(300, 300, 1, False), [1.0], [0], 50, reading=reading
        )
        .set_index("label")
        .loc["A"]
    )
    assert noise["ci_low"] < 55 and noise["value"] < 65


def test_scales_of_features_do_not_matter_to_the_probe():
    train, test = part(200, 200, 0), part(200, 200, 1)
    scaled = [Part(p.features * [1, 1e3, 1e-3, 1, 1], p.targets, p.patients) for p in (train, test)]
    one, two = (probe_table(a, b, [0.2, 1.0], [0, 1], 20) for a, b in ((train, test), scaled))
    pd.testing.assert_frame_equal(one, two, atol=0.05)
    assert one.groupby("share")["seeds"].first().tolist() == [2, 1]


def test_a_label_that_the_drawn_patients_do_not_have_is_at_chance():
    train = part(40, 40, 0)
    train.targets["A"] = False
    table = probe_table(train, part(100, 100, 1), [1.0], [0], 20).set_index("label")
    assert table.at["A", "value"] == 50


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
        "--epochs",
        1,
        "--resamples",
        20,
        "--out",
        out,
    )
    assert code == 0, err
    table = pd.read_csv(out)
    assert set(table["label"]) == {MEAN, *SUPERCLASSES} and "0.3" in said
    assert table.groupby("share")["train_ecgs"].first().is_monotonic_increasing
    assert set(table["reading"]) == {"linear probe", RANDOM, LABELS_ONLY}
    whole = table[(table["label"] == "NORM") & (table["share"] == 1)].set_index("reading")
    assert whole.at["linear probe", "value"] > 55, "random weights, yet they see rate and amplitude"
    assert (whole["ci_low"] <= whole["value"]).all() and (whole["value"] <= whole["ci_high"]).all()


def test_the_pooling_is_cls_mean_and_maximum():
    tokens = np.arange(12.0).reshape(1, 3, 4)
    found = pooled(tokens, np.full((1, 4), -1.0))
    assert found.tolist() == [[-1.0] * 4 + [4.0, 5.0, 6.0, 7.0] + [8.0, 9.0, 10.0, 11.0]]


def test_a_stronger_probe_trusts_few_labels_more():
    train, test = part(60, 60, 0), part(100, 100, 1)
    weak, strong = (
        linear(train.features, test.features, train.targets, np.arange(20), strength=strength)
        for strength in (STRENGTH, 100 * STRENGTH)
    )
    assert strong["A"].std() > 2 * weak["A"].std()


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
        (("linear-probe", "--model", reader, *both, "--task", "unheard"), "unheard.yaml"),
        (("linear-probe", "--model", reader, *both, "--task", "table4"), "whole cohorts"),
        (
            ("linear-probe", "--model", reader, "--train", store, "--test", stores[1].folder),
            "patients",
        ),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "") and err.count("\n") == 1 and words in err, err


# -- sets with published files -----------------------------------------------------------------


@pytest.fixture(scope="module")
def published(stores, tmp_path_factory):
    """A store whose ECGs are named as PTB-XL's, and PTBXL-Super's files, which list most of them.

    The files call every third ECG in their train file a hypertrophy, which the store does not.
    """
    root, task, source = (
        tmp_path_factory.mktemp("published"),
        load_task("ptbxl_super.yaml"),
        stores[0],
    )
    truth, records = task.targets(source.records), {}
    for row in range(len(source)):
        fields = {**vars(source.record(row)), "ecg_id": f"ptbxl/{row + 1:05d}"}
        records[fields["ecg_id"]] = EcgRecord(**fields)
    store = write_store(root / "store", Listed(records))
    truth = truth.astype(int).assign(ecg_id=np.arange(len(source)) + 1)
    truth.loc[(source.records["split"] == "train") & (truth["ecg_id"] % 3 == 0), "HYP"] = 1
    stem = root / "splits" / task.released.files
    stem.parent.mkdir(parents=True)
    for number, (split, ending) in enumerate(ENDINGS.items()):
        part = truth[source.records["split"] == split]
        extra = pd.DataFrame({"ecg_id": [9000 + number]}).reindex(columns=part.columns)
        part = pd.concat([part[2:], extra.fillna(0).astype(int)])
        part.to_csv(f"{stem}{ending}", index=False)
    return store, root / "splits"


def test_a_published_set_is_evaluated_with_its_files_or_without(
    capsys, reader, published, tmp_path
):
    store, files = published
    out, labels = tmp_path / "zero.csv", ["HYP", "NORM", "MI", "CD", "STTC"]
    common = "zero-shot", "--task", "ptbxl_super", "--model", reader, "--cohort", store.folder
    common += "--resamples", 20, "--out", out
    counts = {}
    for name, own in (
        ("folds", ("--part", "test")),
        ("files", ("--part", "test", "--released", files)),
        ("whole", ("--released", files, "--as-released")),
    ):
        code, _, err = run(capsys, *common, *own)
        assert code == 0, err
        table = pd.read_csv(out).set_index("label")
        assert list(table.index) == [mean_name(1), mean_name(10), *labels]
        counts[name] = table.loc[labels, "n"]
        assert table.at[mean_name(1), "n"] == (counts[name] > 0).sum()
        assert table.loc[[mean_name(1)], ["ci_low", "ci_high"]].isna().to_numpy().all()
        told = "PTBXL-Super: " in err and "3 are absent" in err
        assert told == (name != "folds")
    assert (counts["whole"] > counts["files"]).all() and (counts["files"] <= counts["folds"]).all()
    listed = with_released(load_task("ptbxl_super.yaml"), files)
    members = store.records[listed.members(store.records)]
    assert len(members) == len(store) - 6
    assert counts["whole"].tolist() == listed.targets(members).sum().tolist()


def test_a_probe_can_draw_as_the_released_code_does(capsys, reader, published, tmp_path):
    store, files = published
    common = "linear-probe", "--task", "ptbxl_super", "--model", reader, "--train", store.folder
    common += "--test", store.folder, "--share", 0.2, 1, "--epochs", 0, "--resamples", 20
    tables = {}
    for draw in ("patients", "released"):
        out = tmp_path / f"{draw}.csv"
        code, _, err = run(capsys, *common, "--draw", draw, "--released", files, "--out", out)
        assert code == 0, err
        tables[draw] = pd.read_csv(out).query("reading == 'linear probe'")
        assert set(tables[draw]["label"]) >= {mean_name(1), mean_name(10), "HYP"}
    one, two = (
        table.groupby("share")[["train_ecgs", "seeds"]].first() for table in tables.values()
    )
    listed = with_released(load_task("ptbxl_super.yaml"), files)
    at_hand = listed.at_hand(store).loc["train"]
    assert two.loc[1, "train_ecgs"] == one.loc[1, "train_ecgs"] == at_hand["at_hand"]
    few = int(0.2 * at_hand["listed"])
    assert few - 1 <= two.loc[0.2, "train_ecgs"] <= few, "one listed record is absent"
    assert (one.loc[0.2, "seeds"], two.loc[0.2, "seeds"]) == (3, 1)


def test_published_files_that_do_not_fit_are_one_line(capsys, reader, published, tmp_path):
    store, files = published
    zero = "zero-shot", "--model", reader, "--cohort", store.folder
    for arguments, words in (
        ((*zero, "--released", files), "table4 has no published label files"),
        ((*zero, "--task", "ptbxl_super", "--as-released"), "--as-released needs --released"),
        ((*zero, "--task", "ptbxl_sub", "--released", files), "ptbxl_sub_class_train.csv"),
        ((*zero, "--task", "ptbxl_super", "--released", tmp_path / "no"), "does not exist"),
        (("label-defects", "--released", files, "--task", "table4"), "no published label files"),
        (("label-defects", "--released", tmp_path), "no icbeb/icbeb_train.csv"),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "") and err.count("\n") == 1 and words in err, err


def test_an_encoder_is_found_in_a_clip_a_reader_or_an_ecg_llm(reader, tmp_path):
    encoder = load_encoder(reader)
    encoder.save_pretrained(tmp_path / "encoder")  # as an ECG-LLM stores it
    again = load_encoder(tmp_path)
    for one, two in zip(encoder.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
