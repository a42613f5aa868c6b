"""Test that one ECG under two names is found, and different ECGs are not taken for one."""

import contextlib
import json
import warnings

import numpy as np
import pytest
from ecg_folders import Listed, write_challenge
from scipy.io import savemat

from ecg_lib.data.prepare import build_source, prepare
from ecg_lib.data.record import EcgRecord
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.evaluation.same_ecg import description, same_ecgs, without_copies
from ecg_lib.signal.resample import to_rate


def ecg(seed, fs=500, seconds=10):
    """Return an ECG with a rate, waves and noise of its own, (12, T) in mV."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(fs * seconds)) / fs
    beats = np.cumsum(np.r_[rng.uniform(0.1, 0.6), rng.normal(60 / rng.uniform(55, 110), 0.03, 20)])
    waves = [(0.15, -0.17, 0.025), (1.0, 0, 0.012), (-0.2, 0.035, 0.012), (0.3, 0.28, 0.05)]
    signal = np.zeros((12, t.size))
    for height, at, width in waves:
        shape = sum(np.exp(-(((t - beat - at) / width) ** 2) / 2) for beat in beats)
        signal += height * rng.uniform(0.4, 1.6, (12, 1)) * shape
    return signal + rng.normal(0, 0.02, (12, t.size))


def store_of(folder, name, signals, rate=100):
    """Write a store of these signals, one patient each."""
    records = {
        f"{k}": EcgRecord(f"{name}/{k}", f"{name}{k}", signal.astype(np.float32), rate=rate)
        for k, signal in enumerate(signals)
    }
    source = Listed(records)
    source.name, source.rate = name, rate
    return write_store(folder / name, source)


ECGS = [ecg(seed) for seed in range(24)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    return store_of(folder, "plain", [to_rate(one, 500, 100) for one in ECGS])


CHANGES = {
    "another resampler": lambda mv: to_rate(mv, 500, 100, "polyphase"),
    "another unit": lambda mv: 0.1 * to_rate(mv, 500, 100),
    "each lead scaled": lambda mv: to_rate(mv, 500, 100) * np.linspace(0.5, 2, 12)[:, None],
    "inverted": lambda mv: -to_rate(mv, 500, 100),
    "offset": lambda mv: to_rate(mv, 500, 100) + 1.5,
    "wandering baseline": lambda mv: to_rate(mv, 500, 100) + np.sin(np.arange(1000) / 250),
    "rounded to 0.05 mV": lambda mv: np.round(to_rate(mv, 500, 100) / 0.05) * 0.05,
    "read at 250 Hz first": lambda mv: to_rate(to_rate(mv, 500, 250, "polyphase"), 250, 100),
    "noisier": lambda mv: (
        to_rate(mv, 500, 100) + np.random.default_rng(0).normal(0, 0.03, (12, 1000))
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_however_it_was_changed(tmp_path, plain, change):
    copies = store_of(tmp_path, "copy", [CHANGES[change](one) for one in ECGS[:6]])
    pairs = same_ecgs(copies, range(6), plain, range(24))
    assert list(zip(pairs["one"], pairs["other"], strict=True)) == [(k, k) for k in range(6)]


def test_a_copy_at_another_rate_is_found(tmp_path, plain):
    copies = store_of(tmp_path, "fine", ECGS[:6], rate=500)
    pairs = same_ecgs(plain, range(24), copies, range(6))
    assert sorted(zip(pairs["one"], pairs["other"], strict=True)) == [(k, k) for k in range(6)]
    slow = store_of(tmp_path, "slow", [to_rate(one, 500, 50) for one in ECGS[:6]], rate=50)
    assert len(same_ecgs(plain, range(24), slow, range(6))) == 6


def test_other_ecgs_are_no_copies(plain, tmp_path):
    others = store_of(tmp_path, "other", [to_rate(ecg(100 + k), 500, 100) for k in range(24)])
    assert same_ecgs(plain, range(24), others, range(24)).empty
    assert same_ecgs(plain, range(12), plain, range(12, 24)).empty
    assert same_ecgs(plain, [], others, range(24)).empty


def test_a_flat_ecg_is_like_nothing(plain):
    flat = description(np.zeros((1, 12, 1000)), 100, 10)
    assert np.isfinite(flat).all() and not flat.any()


def test_training_ecgs_that_are_tested_are_left_out_with_their_patients(plain, tmp_path):
    copies = store_of(tmp_path, "copy", [to_rate(one, 500, 100, "polyphase") for one in ECGS[:3]])
    with pytest.warns(UserWarning, match="3 of 3 ECGs of .*copy are also in .*plain") as told:
        rows = without_copies(plain, np.arange(24), copies, np.arange(3))
    assert rows.tolist() == list(range(3, 24)) and "\n" not in str(told[0].message)
    assert "such as copy/0 and plain/0" in str(told[0].message)
    with pytest.raises(DataError, match="none is left to train on"):
        without_copies(plain, np.arange(3), copies, np.arange(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(without_copies(plain, np.arange(3, 24), copies, np.arange(3))) == 21


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """The same 24 ECGs as CPSC 2018 in its own format and in the challenge's."""
    root = tmp_path_factory.mktemp("twice")
    (root / "native/TrainingSet1").mkdir(parents=True)
    table = ["Recording,First_label,Second_label,Third_label"]
    codes = {1: "426783006", 2: "164889003"}
    wfdb = {}
    for k, one in enumerate(ECGS, 1):
        known = {"sex": "Male", "age": 50.0, "data": one}
        savemat(root / f"native/TrainingSet1/A{k:04d}.mat", {"ECG": known}, do_compression=True)
        table.append(f"A{k:04d},{1 + k % 2},,")
        wfdb[f"cpsc_2018/A{k:04d}"] = (codes[1 + k % 2], one)
    (root / "native/REFERENCE.csv").write_text("\n".join(table) + "\n")
    dx = {name: code for name, (code, _) in wfdb.items()}
    write_challenge(root / "wfdb", dx, signals={name: mv for name, (_, mv) in wfdb.items()})
    return [
        prepare("cpsc2018", root / "native", root / "s1"),
        prepare("cpsc", root / "wfdb", root / "s2"),
    ]


def test_the_leak_audit_finds_a_cohort_in_another_format(twice):
    from ecg_lib.evaluation.task import load_task
    from ecg_lib.evaluation.zero_shot import share_seen

    native, wfdb = twice
    ids = [store.records["ecg_id"].tolist() for store in twice]
    assert len(native) == len(wfdb) == 24
    assert share_seen(native, ids[0], wfdb, ids[1]) == 1
    assert share_seen(native, ids[0][:12], wfdb, ids[1][6:]) == 0.5
    with pytest.raises(DataError, match="24 of 24 ECGs") as error:
        load_task("table4.yaml").rows(native, wfdb)
    assert "\n" not in str(error.value)


def test_the_linear_probe_refuses_to_test_what_it_trains_on(twice, capsys):
    from ecg_lib.__main__ import main

    native, wfdb = (str(store.folder) for store in twice)
    arguments = ["--model", "nowhere", "--train", native, "--test", wfdb]
    assert main(["evaluate", "linear-probe", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "24 of 24 ECGs" in err and "give another store" in err


def test_the_command_line_tells_of_copies_in_one_line(plain, tmp_path, capsys):
    from ecg_lib.__main__ import main

    copies = store_of(tmp_path, "copy", [to_rate(one, 500, 100, "polyphase") for one in ECGS[:3]])
    known, asked = str(plain.folder), str(copies.folder)
    capsys.readouterr()  # bars of the preparation
    main(["evaluate", "linear-probe", "--model", "nowhere", "--train", known, "--test", asked])
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("warning: 3 of 3 ECGs of ") and "are not trained on" in first
    model = ["--model", "nowhere", "--cohort", asked, "--trained", known]
    main(["evaluate", "zero-shot", *model])
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("warning: 3 of 3 ECGs of ") and "the model has seen them" in first


def test_copies_within_one_store_do_not_fall_into_both_parts(tmp_path):
    from ecg_lib.evaluation.task import load_task

    signals = [to_rate(one, 500, 100) for one in [*ECGS[:6], ECGS[2]]]
    records = {
        f"{k}": EcgRecord(f"one/{k}", f"p{k}", mv, split="test" if k == 6 else "train")
        for k, mv in enumerate(signals)
    }
    store = write_store(tmp_path / "store", Listed(records))
    with pytest.warns(UserWarning, match="such as one/6 and one/2"):
        train, test = load_task("superclasses.yaml").rows(store, store)
    assert train.tolist() == [0, 1, 3, 4, 5] and test.tolist() == [6]


def test_ptbxl_in_the_challenge_is_found_and_no_two_other_real_ecgs(real_data, tmp_path):
    named = {6000 + k: f"HR0600{k}" for k in (0, 2, 3)}
    found = {}
    for source, folder, options in (
        ("ptbxl", "ptbxl", {"intervals": False}),
        ("challenge", "challenge-2021", {}),
    ):
        reader = build_source(source, real_data / folder, **options)
        items = [item for item in reader.index() if _of_interest(item, named)]
        found[source] = []
        for item in items:
            with contextlib.suppress(BadRecord):
                found[source].append(reader.read(item))
    ours, theirs = (
        write_store(tmp_path / name, Listed({r.ecg_id: r for r in records}))
        for name, records in found.items()
    )
    pairs = same_ecgs(ours, range(len(ours)), theirs, range(len(theirs)))
    names = {
        (ours.records["ecg_id"][a], theirs.records["ecg_id"][b])
        for a, b in zip(pairs["one"], pairs["other"], strict=True)
    }
    expected = {(f"ptbxl/{number:05d}", f"ptb-xl/{name}") for number, name in named.items()}
    assert names == expected, json.dumps(sorted(map(list, names)))


def _of_interest(item, named):
    """Return whether an item is one of the ECGs named or one of a few others."""
    if isinstance(item, dict):
        return item["ecg_id"] in named or item["ecg_id"] % 40 == 0
    return "ptb-xl" in item or item.endswith("5")
