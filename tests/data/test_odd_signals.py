"""Test that the rate, the unit and the amplitude of a signal are read or refused, never guessed."""

import numpy as np
import pytest
from ecg_folders import beats
from odd_records import COMMENTS, checksum, digital, write_frames, write_record
from scipy.io import savemat

from ecg_lib.data.prepare import prepare
from ecg_lib.data.store import summary
from ecg_lib.data.wfdb_files import read_wfdb
from ecg_lib.errors import BadRecord
from ecg_lib.signal.leads import LEADS

MV = beats(500)
COUNTS = digital(MV)


def read_ecg(stem):
    """Read a record as a store keeps it."""
    return read_wfdb(stem).standard(100, "fft")


def refused(stem):
    """Return the reason for which a record is refused; it must be one line."""
    with pytest.raises(BadRecord) as error:
        read_ecg(stem)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("rate, per_frame", [("1", 500), ("62.5", 8), ("125", 4)])
def test_a_record_in_frames_is_read_at_the_rate_of_its_samples(tmp_path, rate, per_frame):
    stem = write_frames(tmp_path / "framed", COUNTS, rate, per_frame)
    recording = read_wfdb(stem)
    assert recording.fs == 500
    np.testing.assert_allclose(recording.signal, COUNTS / 1000)
    assert read_ecg(stem)[1].max() == pytest.approx(1.4, abs=0.02)  # R in II
    np.testing.assert_array_equal(read_ecg(stem), read_ecg(write_record(tmp_path / "plain")))


def test_a_slower_channel_beside_the_leads_is_left_out(tmp_path):
    (tmp_path / "slow.dat").write_bytes(np.arange(10, dtype="<i2").tobytes())
    stem = write_frames(tmp_path / "a", COUNTS, 1, 500, ["slow.dat 16x1 10/mmHg 16 0 0 45 0 ABP"])
    assert read_wfdb(stem).names == list(LEADS) and read_ecg(stem).shape == (12, 1000)


def test_leads_at_different_rates_are_refused(tmp_path):
    stem = write_frames(tmp_path / "a", COUNTS, 1, 500)
    header = stem.with_suffix(".hea")
    header.write_text(header.read_text().replace("a_11.dat 16x500", "a_11.dat 16x250"))
    assert "different rates" in refused(stem)


@pytest.mark.parametrize("gain", ["0/mV", "0", "0.0(0)/mV", "0e3/mV"])
def test_a_gain_of_zero_is_not_taken_for_200(tmp_path, gain):
    assert "not calibrated" in refused(write_record(tmp_path / "a", gains=gain))


def test_a_gain_of_zero_in_one_lead_is_enough(tmp_path):
    gains = ["1000/mV"] * 11 + ["0/mV"]
    assert "lead V6: gain 0 or missing" in refused(write_record(tmp_path / "a", gains=gains))


def test_a_line_without_gain_is_refused(tmp_path):
    stem = write_record(tmp_path / "a")
    header = stem.with_suffix(".hea")
    lines = header.read_text().splitlines()
    header.write_text("\n".join([lines[0], *["a.dat 16"] * 12]) + "\n")
    assert "not calibrated" in refused(stem)


@pytest.mark.parametrize("gain", ["1,000/mV", "inf/mV", "1000(0.5)/mV", "1000 mV", "1'000/mV"])
def test_a_gain_that_cannot_be_read_is_refused(tmp_path, gain):
    refused(write_record(tmp_path / "a", gains=gain))


@pytest.mark.parametrize(
    "gain, per_mv",
    [
        ("1e3/mV", 1000),
        ("1/uV", 1000),
        ("1/µV", 1000),
        ("1/μV", 1000),
        ("1e6/V", 1000),
        ("500", 500),
    ],
)
def test_the_unit_of_the_header_is_the_unit(tmp_path, gain, per_mv):
    signal = read_wfdb(write_record(tmp_path / "a", gains=gain)).signal
    np.testing.assert_allclose(signal, COUNTS / per_mv)


def test_a_micro_sign_in_another_encoding_does_not_make_volts(tmp_path):
    stem = write_record(tmp_path / "a", gains="1/µV", encoding="latin-1")
    np.testing.assert_allclose(read_wfdb(stem).signal, COUNTS / 1000)
    stem = write_record(tmp_path / "b", gains="1/ÂµV")
    assert "'ÂµV' is not a voltage" in refused(stem)


@pytest.mark.parametrize("unit", ["mmHg", "mV*10", "NU", "adu", "mV/cm"])
def test_an_unknown_unit_is_refused(tmp_path, unit):
    assert "not a voltage" in refused(write_record(tmp_path / "a", gains=f"1000/{unit}"))


def test_the_unit_of_a_channel_that_is_no_lead_does_not_matter(tmp_path):
    more = np.vstack([COUNTS, COUNTS[:1]])
    gains = ["1000/mV"] * 12 + ["0/mmHg"]
    stem = write_record(tmp_path / "a", more, gains=gains, names=[*LEADS, "ABP"])
    np.testing.assert_allclose(read_wfdb(stem).signal, COUNTS / 1000)


def test_baseline_and_adc_zero_are_subtracted(tmp_path):
    stem = write_record(tmp_path / "a", COUNTS + 100, gains="1000(100)/mV")
    np.testing.assert_allclose(read_wfdb(stem).signal, COUNTS / 1000)


@pytest.mark.parametrize("rate", ["1", "0.5", "49", "49.9"])
def test_a_rate_below_50_hz_is_no_rate_of_an_ecg(tmp_path, rate):
    reason = refused(write_record(tmp_path / "a", fs=rate))
    assert "at least 50 Hz expected" in reason


def test_50_hz_is_read(tmp_path):
    stem = write_record(tmp_path / "a", digital(beats(50)), fs="50")
    assert read_wfdb(stem).fs == 50 and read_ecg(stem).shape == (12, 1000)


@pytest.mark.parametrize("line", ["a 12", "a 12 5e2 5000", "a 12 500Hz 5000", "a 12 500,0 5000"])
def test_a_rate_that_is_missing_or_unreadable_is_not_made_up(tmp_path, line):
    assert "sampling rate" in refused(write_record(tmp_path / "a", first_line=line))


def test_a_counter_frequency_and_a_time_do_not_disturb_the_rate(tmp_path):
    line = "a 12 500/250(0) 5000 10:30:00 01/02/2003"
    assert read_wfdb(write_record(tmp_path / "a", first_line=line)).fs == 500


def test_samples_of_another_ecg_are_found_by_first_value_or_checksum(tmp_path):
    other = digital(beats(500, seed=1) + 0.2)
    firsts, totals = [row[0] for row in other], [checksum(row) for row in other]
    stem = write_record(tmp_path / "a", firsts=firsts)
    assert "first sample" in refused(stem)
    assert "checksum" in refused(write_record(tmp_path / "b", totals=totals))
    one = [checksum(row) for row in COUNTS]
    one[7] += 1
    assert "lead V2: samples do not fit the checksum" in refused(
        write_record(tmp_path / "c", totals=one)
    )


def test_a_checksum_may_be_unsigned_and_zeros_may_stand_for_nothing(tmp_path):
    unsigned = [checksum(row) % 65536 for row in COUNTS]
    stems = [write_record(tmp_path / "a", totals=unsigned)]
    stems.append(write_record(tmp_path / "b", firsts=[0] * 12, totals=[0] * 12))
    for stem in stems:
        np.testing.assert_allclose(read_wfdb(stem).signal, COUNTS / 1000)


def test_skewed_channels_are_aligned(tmp_path):
    long = digital(beats(500, seconds=11))
    skews = [0, 2, 4, 0, 0, 0, 25, 0, 0, 0, 0, 7]
    stored = np.stack([np.roll(row, skew) for row, skew in zip(long, skews, strict=True)])
    form = [f"16:{skew}" if skew else "16" for skew in skews]
    signal = read_wfdb(write_record(tmp_path / "a", stored, form=form)).signal
    np.testing.assert_allclose(signal, long[:, : signal.shape[1]] / 1000)
    assert signal.shape[1] == 5475
    short = [f"16:{skew}" if skew else "16" for skew in skews]
    assert "9.9 s long" in refused(write_record(tmp_path / "b", stored[:, :5000], form=short))


def test_a_byte_offset_is_skipped_and_a_missing_one_is_noticed(tmp_path):
    head = "x" * 24
    stem = write_record(tmp_path / "a", head=head, form="16+24")
    np.testing.assert_allclose(read_wfdb(stem).signal, COUNTS / 1000)
    assert "first sample" in refused(write_record(tmp_path / "b", head=head))
    nothing = {"firsts": [0] * 12, "totals": [0] * 12}
    assert "longer than its header" in refused(write_record(tmp_path / "c", head=head, **nothing))
    nothing["length"] = ""  # from the size of the file
    header = write_record(tmp_path / "d", head=head[:10], **nothing)
    assert "longer than its header" in refused(header)


def packed(samples, form):
    """Return samples (n, T) as the bytes of a signal file, after the format's description."""
    flat = samples.T.reshape(-1)
    if form == "8":
        return np.diff(samples, axis=1, prepend=samples[:, :1]).T.astype("i1").tobytes()
    if form == "24":
        return flat.astype("<i4").view("u1").reshape(-1, 4)[:, :3].tobytes()
    if form == "212":
        a, b = (flat.reshape(-1, 2) & 0xFFF).T
        return np.stack([a & 255, a >> 8 | b >> 8 << 4, b & 255], 1).astype("u1").tobytes()
    if form in ("310", "311"):
        a, b, c = (flat.reshape(-1, 3) & 0x3FF).T
        if form == "311":
            return (a | b << 10 | c << 20).astype("<u4").tobytes()
        pairs = [(a & 127) << 1 | (a >> 7 | (c & 31) << 3) << 8, (b & 127) << 1 | (b >> 7) << 8]
        return np.stack([pairs[0], pairs[1] | (c >> 5) << 11], 1).astype("<u2").tobytes()
    kind, plus = {"32": ("<i4", 0), "61": (">i2", 0), "80": ("u1", 128), "160": ("<u2", 32768)}[
        form
    ]
    return (flat + plus).astype(kind).tobytes()


@pytest.mark.parametrize("form", ["8", "24", "32", "61", "80", "160", "212", "310", "311"])
def test_every_format_gives_the_same_ecg(tmp_path, form):
    gain = 30 if form in ("8", "80") else 200
    samples = digital(MV, gain)
    stem = write_record(tmp_path / "a", samples, form=form, gains=f"{gain}/mV")
    stem.with_suffix(".dat").write_bytes(packed(samples, form))
    np.testing.assert_allclose(read_wfdb(stem).signal, samples / gain)


def test_two_formats_or_offsets_in_one_file_are_refused(tmp_path):
    stem = write_record(tmp_path / "a", form=["16"] * 11 + ["61"])
    assert "differ in format or byte offset" in refused(stem)
    stem = write_record(tmp_path / "b", form=["16"] * 11 + ["16+24"])
    assert "differ in format or byte offset" in refused(stem)


def test_a_header_that_lists_other_signals_than_it_announces_is_refused(tmp_path):
    stem = write_record(tmp_path / "a", first_line="a 13 500 5000")
    assert "announces 13 signals, lists 12" in refused(stem)


def test_comments_keep_their_letters(tmp_path):
    stem = write_record(tmp_path / "a", comments=["Größe: 1,80 m", *COMMENTS], encoding="latin-1")
    assert read_wfdb(stem).comments[0] == "Größe: 1,80 m"


def test_ask_reads_the_same_and_names_the_record_that_it_refuses(tmp_path):
    from ecg_lib.ecg_llm.ask import read_ecg as of_ask  # imports torch

    stem = write_frames(tmp_path / "framed", COUNTS, 1, 500)
    np.testing.assert_array_equal(of_ask(f"{stem}.hea"), read_ecg(stem))
    with pytest.raises(BadRecord, match="b: lead I: gain 0 or missing"):
        of_ask(write_record(tmp_path / "b", gains="0/mV"))


def test_cpsc_samples_in_steps_of_a_recorder_are_not_taken_for_mv(tmp_path):
    (tmp_path / "TrainingSet1").mkdir()
    for name, data in (("A0001", MV), ("A0002", digital(MV, 10).astype("<i2"))):
        known = {"sex": "Male", "age": 50.0, "data": data}
        savemat(tmp_path / f"TrainingSet1/{name}.mat", {"ECG": known})
    table = "Recording,First_label,Second_label,Third_label\nA0001,1,,\nA0002,1,,\n"
    (tmp_path / "REFERENCE.csv").write_text(table)
    store = prepare("cpsc2018", tmp_path, tmp_path / "store")
    assert store.records["ecg_id"].tolist() == ["cpsc2018/A0001"]
    assert "not calibrated" in summary(store)


# -- segments ------------------------------------------------------------------------------------


def write_segments(folder, name, parts, lengths=None, total=None, rate=500):
    """Write a multi-segment record; `parts`: segment name -> samples, or None for a gap."""
    lines = []
    for part, samples in parts.items():
        if part != "~":
            write_record(folder / part, samples, comments=())
        lines.append(f"{part} {500 if samples is None else samples.shape[1]}")
    lines = lengths or lines
    total = total or sum(int(line.split()[1]) for line in lines)
    text = [f"{name}/{len(lines)} 12 {rate} {total}", *lines, *(f"#{c}" for c in COMMENTS)]
    (folder / f"{name}.hea").write_text("\n".join(text) + "\n")
    return folder / name


def test_segments_of_a_fixed_layout_are_joined(tmp_path):
    parts = {"s1": COUNTS[:, :2000], "s2": COUNTS[:, 2000:]}
    recording = read_wfdb(write_segments(tmp_path, "whole", parts))
    np.testing.assert_allclose(recording.signal, COUNTS / 1000)
    assert recording.fs == 500 and "Dx: 426783006" in recording.comments


def test_segments_that_cannot_be_joined_are_refused(tmp_path):
    parts = {"s1": COUNTS[:, :2000], "s2": COUNTS[:, 2000:]}
    write_segments(tmp_path, "whole", parts)
    for lengths, reason in (
        (["s1 0", "s2 3000"], "variable layout"),
        (["s1 2000", "s3 3000"], "segment s3: no header file"),
        (["s1 2000", "s2 2999"], "segment s2: not as long"),
        (["bad 2000", "s2 3000"], "segment bad: holds segments of its own"),
        (["s1 2000", "s2"], "cannot be read"),
        (["s1 2000", "~ 3000"], "samples are NaN"),
        (["~ 5000"], "no signal"),
    ):
        stem = write_segments(tmp_path, "bad", {}, lengths, total=5000)
        if lengths[1:] != ["s2 2999"]:
            assert reason in refused(stem)
    stem = write_segments(tmp_path, "short", {}, ["s1 2000", "s2 2999"])
    assert "segment s2: not as long" in refused(stem)
    assert "do not add up" in refused(
        write_segments(tmp_path, "sum", {}, ["s1 2000", "s2 3000"], total=6000)
    )
    assert "segment s1: 500 Hz, the whole record 250 Hz" in refused(
        write_segments(tmp_path, "rate", {}, ["s1 2000", "s2 3000"], rate=250)
    )


def test_odd_records_are_quarantined_alone_and_counted_by_reason(tmp_path):
    folder = tmp_path / "training" / "georgia"
    for number in range(3):
        write_record(folder / f"E9000{number}")
    write_segments(folder, "E90003", {"s1": COUNTS[:, :2000], "s2": COUNTS[:, 2000:]})
    write_segments(folder, "E90004", {}, ["s1 0", "s2 3000"])
    write_record(folder / "E90005", gains="0/mV")
    write_record(folder / "E90006", fs="1")
    write_record(folder / "E90007", totals=[1] * 12)
    write_frames(folder / "E90008", COUNTS, 1, 500)
    store = prepare("georgia", tmp_path, tmp_path / "store")
    kept = [f"georgia/E9000{number}" for number in (0, 1, 2, 3, 8)]
    assert store.records["ecg_id"].tolist() == kept
    for row in range(5):
        np.testing.assert_allclose(store.mv(row), store.mv(0))
    reasons = " ".join(store.manifest["reasons"])
    for reason in (
        "variable layout",
        "not calibrated",
        "at least 50 Hz",
        "checksum",
        "Dx is empty",
    ):
        assert reason in reasons
    assert "6 quarantined" in summary(store) and "\n" not in summary(store)
