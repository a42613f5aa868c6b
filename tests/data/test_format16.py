"""Test the fast reader of 16-bit WFDB files against wfdb, its plain reference."""

import numpy as np
import pytest
from ecg_folders import beats, write_wfdb
from odd_records import digital, write_frames, write_record

from ecg_lib.data import wfdb_files
from ecg_lib.data.format16 import read_format16, to_physical
from ecg_lib.data.wfdb_files import read_wfdb
from ecg_lib.data.wfdb_header import read_header
from ecg_lib.errors import BadRecord
from ecg_lib.signal.leads import LEADS


def both(stem, monkeypatch):
    """Return the recording as read without wfdb and as read by it; the first must be possible."""
    assert read_format16(stem, read_header(stem)) is not None, "only wfdb can read it"
    fast = read_wfdb(stem)
    with monkeypatch.context() as plain:
        plain.setattr(wfdb_files, "read_format16", lambda stem, header: None)
        slow = read_wfdb(stem)
    return fast, slow


def assert_equal(fast, slow):
    np.testing.assert_array_equal(fast.signal, slow.signal)
    assert fast.signal.dtype == slow.signal.dtype
    assert (fast.names, fast.fs, fast.comments) == (slow.names, slow.fs, slow.comments)


def test_samples_baseline_and_gain_by_hand():
    stored = np.array([[200, -(2**15)], [0, 10]], np.int16)
    np.testing.assert_array_equal(to_physical(stored, [1000, 5], [100, 0]), [[0.1, np.nan], [0, 2]])


@pytest.mark.parametrize("gains", ["1000/mV", "200(7)/uV", "4880(-12)/V", "0.5"])
def test_a_record_is_read_as_by_wfdb(tmp_path, monkeypatch, gains):
    samples = digital(beats(500))
    samples[3, 5:9] = -(2**15)  # missing samples
    fast, slow = both(write_record(tmp_path / "r", samples, gains=gains), monkeypatch)
    assert np.isnan(fast.signal[3, 5:9]).all() and np.isfinite(fast.signal[0]).all()
    assert_equal(fast, slow)


def test_mat_files_and_further_channels(tmp_path, monkeypatch):
    write_wfdb(tmp_path / "m", beats(500), suffix="mat")
    assert_equal(*both(tmp_path / "m", monkeypatch))
    names = ["RESP", *reversed(LEADS)]
    more = np.vstack([np.arange(5000)[None], digital(beats(500))])
    fast, slow = both(write_record(tmp_path / "x", more, names=names), monkeypatch)
    assert fast.names == names[1:]  # the channel that is no lead is left out
    assert_equal(fast, slow)


def test_recorded_ecgs(real_data, monkeypatch):
    stems = [path.with_suffix("") for path in sorted(real_data.rglob("*.hea"))]
    stems = stems[:: max(1, len(stems) // 120)]
    compared = 0
    for stem in stems:
        try:
            fast, slow = both(stem, monkeypatch)
        except (AssertionError, BadRecord):  # not of this format, or refused by its header
            continue
        assert_equal(fast, slow)
        compared += 1
    assert compared >= min(20, len(stems))


def test_what_only_wfdb_can_read_is_left_to_it(tmp_path):
    samples = digital(beats(500))
    cut = write_record(tmp_path / "cut", samples)
    with open(tmp_path / "cut.dat", "r+b") as file:
        file.truncate(1000)
    frames = write_frames(tmp_path / "frames", digital(beats(500)), 100, 5)
    other = write_record(tmp_path / "other", samples, form="80")
    for stem in (cut, frames, other):
        assert read_format16(stem, read_header(stem)) is None
    with pytest.raises(BadRecord, match="truncated or corrupt"):
        read_wfdb(cut)


def test_a_skewed_channel_is_left_to_wfdb(tmp_path):
    stem = write_record(tmp_path / "skewed", form=["16:3", *["16"] * 11])
    assert read_format16(stem, read_header(stem)) is None
    assert read_wfdb(stem).signal.shape == (12, 4997)
