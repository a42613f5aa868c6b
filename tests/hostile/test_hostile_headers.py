"""Malformed WFDB headers and signal files: each costs its record alone, and says why.

A row is: what is odd, the harm to `1.hea` (or another file), and words of the reason. Every cohort
in WFDB's format and `ask` read through the same function, so LUDB stands for all of them.
"""

import os
import shutil

import hostile_good as good
import pytest
from hostile_harm import edit, put, swap
from hostile_run import prepared

HEAD = "1 12 100 1000"
FIRST = "1.dat 16 1000.0(0)/mV 16 0"
HUGE = 2**40
MANY = "9" * 5000


def lines(text):
    """Return a harm that writes a whole header."""
    return put("\n".join(text) + "\n")


def head(text):
    """Return a harm that replaces the header's first line."""
    return swap(HEAD, text)


def file(name):
    """Return a harm that names another signal file."""
    return swap("1.dat", name)


def segments(*names, announced=None, length=1000):
    """Return a harm that makes the record one of several segments."""
    first = f"1/{announced or len(names)} 12 100 {length}"
    return lines([first, *names])


ODD = {
    "2^40 samples": (head(f"1 12 100 {HUGE}"), "truncated or corrupt"),
    "a number of samples of 5,000 digits": (head(f"1 12 100 {MANY}"), "cannot be read"),
    "a negative number of samples": (head("1 12 100 -5"), "cannot be read"),
    "10^6 leads": (head("1 1000000 100 1000"), "at most 1000"),
    "a number of leads of 5,000 digits": (head(f"1 {MANY} 100 1000"), "cannot be read"),
    "no lead": (head("1 0 100 1000"), "no signal"),
    "one lead too many": (head("1 13 100 1000"), "announces 13 signals, lists 12"),
    "negative leads": (head("1 -12 100 1000"), "cannot be read"),
    "leads in Arabic digits": (head("1 \u0661\u0662 100 1000"), "cannot be read"),
    "samples in superscript": (head("1 12 100 10\u00b2"), "cannot be read"),
    "rate 0": (head("1 12 0 1000"), "0"),
    "rate -100": (head("1 12 -100 1000"), "rate"),
    "rate NaN": (head("1 12 nan 1000"), "rate"),
    "rate inf": (head("1 12 inf 1000"), "rate"),
    "rate 1e308": (head("1 12 1e308 1000"), "rate"),
    "a rate of 400 digits": (head(f"1 12 {'9' * 400} 1000"), "rate"),
    "a rate of 10^12 Hz": (head("1 12 1000000000000 1000"), "s long"),
    "rate 100,0": (head("1 12 100,0 1000"), "rate"),
    "rate in full-width digits": (head("1 12 \uff11\uff10\uff10 1000"), "rate"),
    "no rate": (head("1 12"), "no sampling rate"),
    "another record's name": (head("../../etc/passwd 12 100 1000"), "cannot be read"),
    "gain NaN": (swap("1000.0(0)/mV", "nan/mV"), "gain"),
    "gain inf": (swap("1000.0(0)/mV", "inf/mV"), "gain"),
    "gain 1e308": (swap("1000.0(0)/mV", "1e308/mV"), "flat"),
    "gain 1e-308": (swap("1000.0(0)/mV", "1e-308/mV"), "NaN"),
    "gain 1e999": (swap("1000.0(0)/mV", "1e999/mV"), "gain"),
    "gain 0": (swap("1000.0(0)/mV", "0/mV"), "not calibrated"),
    "gain -1000": (swap("1000.0(0)/mV", "-1000/mV"), None),
    "a baseline of 5,000 digits": (swap("(0)", f"({MANY})"), "gain"),
    "a baseline of 40 digits": (swap("(0)", f"({'9' * 40})"), "gain"),
    "a unit of markup": (swap("/mV", "/<b>mV</b>"), "not a voltage"),
    "a unit of control characters": (swap("/mV", "/\x1b[2JmV"), "not a voltage"),
    "format 999": (swap(" 16 1000.0", " 999 1000.0"), "corrupt"),
    "a format of 5,000 digits": (swap(" 16 1000.0", f" {MANY} 1000.0"), "cannot be read"),
    "2^40 samples per frame": (swap(" 16 1000.0", f" 16x{HUGE} 1000.0"), "corrupt"),
    "0 samples per frame": (swap(" 16 1000.0", " 16x0 1000.0"), "corrupt"),
    "a skew of 2^40": (swap(" 16 1000.0", f" 16:{HUGE} 1000.0"), "s long"),
    "an offset of 2^62": (swap(" 16 1000.0", f" 16+{2**62} 1000.0"), "cannot be read"),
    "an offset of 5,000 digits": (swap(" 16 1000.0", f" 16+{MANY} 1000.0"), "cannot be read"),
    "a lead twice": (swap(" II\n", " I\n"), "missing"),
    "leads without names": (edit(lambda raw: raw.replace(b" II\n", b"\n")), "missing"),
    "a name of markup": (swap(" II\n", " <script>\n"), "lead II missing"),
    "an absolute path": (file("/etc/hostname"), "own folder"),
    "a path upward": (file("../../outside/1.dat"), "own folder"),
    "a path below": (file("sub/1.dat"), "own folder"),
    "a path of the header itself": (file("1.hea"), "corrupt"),
    "two dots": (file(".."), "own folder"),
    "a name of 300 letters": (file("x" * 300), "without"),
    "a name with NUL": (file("1\0.dat"), ""),
    "a URL": (file("http://127.0.0.1:9/1.dat"), "own folder"),
    "a chain of URLs": (file("simplecache::memory://1.dat"), "own folder"),
    "a standard input": (file("-"), "without"),
    "no signal line": (lines([HEAD]), "no signal"),
    "a comment only": (lines(["# nothing"]), "cannot be read"),
    "10,000 blank comments": (edit(lambda raw: raw + b"#\n" * 10_000), None),
    "a header of 3 MB": (edit(lambda raw: raw + b"#" * 3_000_000), "longer than 1,000,000"),
    "segments in themselves": (segments("1 1000"), "segment 1"),
    "a segment upward": (segments("../../outside/1 1000"), "own folder"),
    "an absolute segment": (segments("/etc/hostname 1000"), "own folder"),
    "a segment without end": (segments(f"~ {HUGE}", "2 1000", length=HUGE + 1000), "long"),
    "a gap alone": (segments("~ 1000"), "no signal"),
    "2^40 segments announced": (segments("2 1000", announced=HUGE), "at most 1000"),
    "segments of 5,000 digits": (segments(f"2 {MANY}", length=MANY), "cannot be read"),
    "segments that do not add up": (segments("2 900"), "add up"),
    "10,000 gaps": (segments(*["~ 1"] * 10_000, "2 1000", length=11_000), "at most 1000"),
    "900 gaps": (segments(*["~ 1"] * 900, "2 1000", length=1900), "NaN"),
    "variable layout": (segments("layout 0", "2 1000"), "variable layout"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return good.ludb(tmp_path_factory.mktemp("good") / "root")


@pytest.fixture
def case(root, tmp_path):
    """A copy of the good folder, beside a folder that nobody may open."""
    shutil.copytree(root, tmp_path / "root")
    (tmp_path / "outside").mkdir()
    shutil.copy(root / "data/1.dat", tmp_path / "outside/1.dat")
    shutil.copy(root / "data/1.hea", tmp_path / "outside/1.hea")
    return tmp_path


@pytest.mark.parametrize("name", ODD)
def test_an_odd_header_costs_its_record_alone(case, name):
    harm, words = ODD[name]
    harm(case / "root/data/1.hea")
    ended = prepared("ludb", case / "root", case / "store", forbidden=case / "outside")
    assert not ended.opened
    if words is None:  # odd, but no harm
        assert ended.how == "read"
    else:
        assert ended.how == "left out" and ended.said.startswith("ludb/1: ")
        assert ended.said.count("ludb/") == 1 and words in ended.said


def test_a_recording_of_a_terabyte_costs_itself(case):
    samples = 2**40 // 24
    swap(HEAD, f"1 12 100 {samples}")(case / "root/data/1.hea")
    os.truncate(case / "root/data/1.dat", 24 * samples)  # sparse: it takes no disk
    ended = prepared("ludb", case / "root", case / "store")
    assert ended.how == "left out" and "is too long" in ended.said


def test_the_longest_recording_that_is_read_fits_into_a_gigabyte(case):
    samples = 2**24 // 12
    swap(HEAD, f"1 12 100 {samples}")(case / "root/data/1.hea")
    os.truncate(case / "root/data/1.dat", 24 * samples)
    ended = prepared("ludb", case / "root", case / "store")
    assert ended.how == "read"  # its first ten seconds are as they were
