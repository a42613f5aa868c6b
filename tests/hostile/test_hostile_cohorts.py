"""Malformed files of every cohort: a row of the quarantine, or one line that names the file.

HARMS (hostile_harm.py) meets each kind of file; CELLS are single odd cells, names and samples.
"""

import os
import shutil
import tempfile
import zlib
from pathlib import Path

import hostile_good as good
import numpy as np
import pytest
from hostile_harm import HARMS, edit, swap
from hostile_run import prepared
from scipy.io import savemat

NOBODY = 65_534
COHORTS = {
    "ptbxl": good.ptbxl,
    "georgia": good.georgia,
    "mimic_iv_ecg": good.mimic,
    "ludb": good.ludb,
    "cpsc2018": good.cpsc2018,
}
PTBXL, MIMIC, MEASURED = "ptbxl_database.csv", "record_list.csv", "machine_measurements.csv"
LUDB, CPSC, MAT = "ludb.csv", "REFERENCE.csv", "TrainingSet1/A0001.mat"
HEA = "training/georgia/E1.hea"
TABLES = [("ptbxl", PTBXL), ("mimic_iv_ecg", MIMIC), ("mimic_iv_ecg", MEASURED)]
TABLES += [("ludb", LUDB), ("cpsc2018", CPSC)]
SIGNALS = [("georgia", HEA), ("georgia", "training/georgia/E1.mat"), ("cpsc2018", MAT)]
SIGNALS += [("ludb", "data/1.hea"), ("ludb", "data/1.dat")]
LINKS = [("ptbxl", f"records100/00000/00001_lr.{end}") for end in ("hea", "dat")]
LINKS += [("mimic_iv_ecg", f"files/p1000/p10000032/s41/41.{end}") for end in ("hea", "dat")]

# How a harmed table ends: words of the one line, or None if it is read.
TABLE_ENDS = dict.fromkeys(HARMS, "damaged")
TABLE_ENDS |= dict.fromkeys(("a folder", "a pipe", "a device", "a dead link", "absent"), "no ")
TABLE_ENDS |= {"a loop": "no ", "a link outward": "is a link out of", "semicolons": "has no column"}
TABLE_ENDS |= dict.fromkeys(("byte order mark", "CRLF", "a long line"))
HALF = {PTBXL: "none of 2", MIMIC: "none of their files", MEASURED: "no column"}
HALF |= {LUDB: "no known code", CPSC: "no column"}
# How a harmed header or signal ends: words of the reason, or None if it is read.
SIGNAL_ENDS = {"a link outward": "leads out of the data set's folder"}
HEADER_READ = ("byte order mark", "CRLF", "semicolons")
APPENDED = ("latin-1", "a long line", "an open quote")  # bytes after samples that a checksum covers
MAT_READ = ("semicolons",)  # a .mat file without commas


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A good folder of each cohort."""
    return {name: make(tmp_path_factory.mktemp(name) / "root") for name, make in COHORTS.items()}


@pytest.fixture
def end(roots, tmp_path):
    """Return a function that harms a file of a cohort and prepares it."""

    def run(cohort, file, harm):
        shutil.copytree(roots[cohort], tmp_path / "root")
        (tmp_path / "outside").mkdir()
        for other in roots[cohort].rglob("41.*"):
            shutil.copy(other, tmp_path / "outside")
        harm(tmp_path / "root" / file)
        ended = prepared(
            cohort, tmp_path / "root", tmp_path / "store", forbidden=tmp_path / "outside"
        )
        assert not ended.opened, "read a file outside the data root"
        return ended

    return run


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(("cohort", "file"), TABLES)
def test_a_harmed_table_is_read_or_refused_by_name(end, cohort, file, harm):
    ended, words = end(cohort, file, HARMS[harm]), TABLE_ENDS[harm]
    words = HALF[file] if harm == "half" else words
    assert ended.how == ("read" if words is None else "refused"), ended
    if words is not None:
        name = "REFERENCE" if file == CPSC else file
        assert words in ended.said and (harm == "half" or name in ended.said)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(("cohort", "file"), SIGNALS)
def test_a_harmed_header_or_signal_costs_its_record_alone(end, cohort, file, harm):
    ended = end(cohort, file, HARMS[harm])
    read = HEADER_READ if file.endswith(".hea") else MAT_READ if file == MAT else APPENDED
    if harm in read or (file, harm) == (MAT, "absent"):  # CPSC's table lists many absent files
        assert ended.how == "read", ended
        return
    assert ended.how == "left out" and ended.said.count(";") == ("leads out" in ended.said), ended
    assert SIGNAL_ENDS.get(harm, "") in ended.said


@pytest.mark.parametrize("harm", ["a link outward", "a pipe", "a device", "a folder"])
@pytest.mark.parametrize(("cohort", "file"), LINKS)
def test_no_cohort_follows_a_link_out_of_its_folder_or_waits_for_a_pipe(end, cohort, file, harm):
    assert end(cohort, file, HARMS[harm]).how == "left out"


def cell(old, new):
    """Return a harm that changes a cell of the first record alone."""
    return edit(lambda raw: raw.replace(old.encode(), new.encode(), 1))


def row(name, **fields):
    """Return a harm that changes cells in the row that holds `name`."""

    def change(raw):
        lines = raw.decode().split("\n")
        at = next(k for k, line in enumerate(lines) if k and name in line)
        for old, new in fields.values():
            assert old in lines[at]
            lines[at] = lines[at].replace(old, new, 1)
        return "\n".join(lines).encode()

    return edit(change)


def renamed(name):
    """Return a harm that renames the record."""

    def harm(path):
        for file in list(path.parent.glob(f"{path.stem}.*")):
            file.rename(file.parent / os.fsdecode(name + os.fsencode(file.suffix)))

    return harm


def mat(**fields):
    """Return a harm that writes another struct ECG."""
    ecg = {"sex": "Male", "age": 50.0, "data": good.beats(500)} | fields
    return lambda path: savemat(path, {"ECG": ecg})


def bomb(path):
    """Write a .mat file of 60 kB that unpacks to 60 MB."""
    packed = zlib.compress(bytes(60_000_000), 9)
    head = b"MATLAB 5.0".ljust(124) + b"\0\1IM"
    path.write_bytes(head + (15).to_bytes(4, "little") + len(packed).to_bytes(4, "little") + packed)


SCP, LONG = "{'NORM': 100.0, 'SR': 0.0}", "9" * 5000
PLACE = "files/p1000/p10000032/s41/41"
CELLS = {  # what is odd: (cohort, file, harm, how it ends, words)
    "scp_codes of 9,000 brackets": ("ptbxl", PTBXL, cell(SCP, "(" * 9000), "left out", "scp_codes"),
    "scp_codes nested 3,000 deep": (
        *("ptbxl", PTBXL, cell(SCP, "[" * 3000 + "]" * 3000)),
        *("left out", "scp_codes cannot be read"),
    ),
    "scp_codes of 100 kB": ("ptbxl", PTBXL, cell(SCP, "x" * 100_000), "left out", "scp_codes"),
    "scp_codes as a list": ("ptbxl", PTBXL, cell(SCP, "[1]"), "left out", "scp_codes"),
    "scp_codes as a call": (
        *("ptbxl", PTBXL, cell(SCP, "__import__('os').abort()")),
        *("left out", "scp_codes cannot be read"),
    ),
    "an ecg_id of 1e300": ("ptbxl", PTBXL, cell("1,11.0", "1e300,11.0"), "left out", "no row"),
    "a negative ecg_id": ("ptbxl", PTBXL, cell("1,11.0", "-1,11.0"), "left out", "no row"),
    "an ecg_id in superscript": (
        "ptbxl",
        PTBXL,
        cell("1,11.0", "\u00b9,11.0"),
        "left out",
        "no row",
    ),
    "an ecg_id 1_0": ("ptbxl", PTBXL, cell("1,11.0", "1_0,11.0"), "left out", "no row"),
    "patient NaN": ("ptbxl", PTBXL, cell("11.0", "nan"), "left out", "patient_id"),
    "patient inf": ("ptbxl", PTBXL, cell("11.0", "inf"), "left out", "patient_id"),
    "patient 1e308": ("ptbxl", PTBXL, cell("11.0", "1e308"), "read", ""),
    "fold 99": ("ptbxl", PTBXL, cell(",3,", ",99,"), "left out", "strat_fold"),
    "age 1e308": ("ptbxl", PTBXL, cell("56.0", "1e308"), "read", "1 with entries"),
    "age of 5,000 digits": ("ptbxl", PTBXL, cell("56.0", LONG), "read", "1 with entries"),
    "a date of control characters": (
        *("ptbxl", PTBXL, cell("1984-11-09", "\x1b[2J\x07")),
        *("read", ""),
    ),
    "a column twice": ("ptbxl", PTBXL, swap("static_noise", "age"), "refused", "no column static"),
    "a column more than once": ("ludb", LUDB, swap("ID,Sex", "ID,Age,Sex"), "refused", "Age twice"),
    "Dx of control characters": (
        "georgia",
        HEA,
        swap("26783006", "26783006,\x1b[2J"),
        "read",
        "(?)",
    ),
    "Dx of 100,000 codes": ("georgia", HEA, swap("426783006", "1," * 100_000), "read", ""),
    "Dx of braces and markup": (
        "georgia",
        HEA,
        swap("426783006", "{0} $x$ <b> |"),
        "left out",
        "Dx",
    ),
    "an age of 5,000 digits": ("georgia", HEA, swap("Age: 74", f"Age: {LONG}"), "read", "entries"),
    "an age in full-width digits": ("georgia", HEA, swap("74", "\uff17\uff14"), "read", "entries"),
    "a name that is not UTF-8": ("georgia", HEA, renamed(b"E\xff"), "refused", "is not UTF-8"),
    "a name with a newline": ("georgia", HEA, renamed(b"E\n1"), "left out", "without its .mat"),
    "a name like an option": ("georgia", HEA, renamed(b"-rf"), "left out", "without its .mat"),
    "a name of control characters": ("georgia", HEA, renamed(b"\x1b[2J"), "left out", ".mat"),
    "a name of wildcards": ("georgia", HEA, renamed(b"[a]*?"), "left out", "without its .mat"),
    "a name like a chain of URLs": ("georgia", HEA, renamed(b"a::b"), "left out", ".mat"),
    "a folder that holds itself": (
        *("georgia", HEA, lambda path: (path.parent / "loop").symlink_to(".")),
        *("read", ""),
    ),
    "a path upward": ("mimic_iv_ecg", MIMIC, cell(PLACE, "../outside/41"), "left out", "leads out"),
    "an absolute path": ("mimic_iv_ecg", MIMIC, cell(PLACE, "/dev/null"), "read", "not at hand"),
    "a path of 5,000 letters": ("mimic_iv_ecg", MIMIC, cell(PLACE, "x" * 5000), "read", "not at"),
    "an empty path": ("mimic_iv_ecg", MIMIC, cell(PLACE, ""), "read", "not at hand"),
    "a path of a dot": ("mimic_iv_ecg", MIMIC, cell(PLACE, "."), "read", "not at hand"),
    "a URL as path": ("mimic_iv_ecg", MIMIC, cell(PLACE, "http://x/41"), "read", "not at hand"),
    "a negative study": ("mimic_iv_ecg", MIMIC, cell(",41,", ",-1,"), "left out", "under three"),
    "subject of control characters": (
        *("mimic_iv_ecg", MIMIC, cell("10000032,41", "\x1b[31m,41")),
        *("read", ""),
    ),
    "a date that is none": ("mimic_iv_ecg", MIMIC, cell("2180-07-23", "0000-99-99"), "read", ""),
    "a statement of braces": (
        *("mimic_iv_ecg", MEASURED, row(",41,", a=("Sinus rhythm", "{0}$\\frac|<b>"))),
        *("read", "{0}$\\frac|<b>"),
    ),
    "a statement of 240 kB": (
        *("mimic_iv_ecg", MEASURED, row(",41,", a=("Sinus rhythm", "Sinus rhythm " * 20_000))),
        *("read", "1 with entries"),
    ),
    "rr 1e308": ("mimic_iv_ecg", MEASURED, cell(",800,", ",1e308,"), "read", ""),
    "rr 0": ("mimic_iv_ecg", MEASURED, cell(",800,", ",0,"), "read", ""),
    "rr -inf": ("mimic_iv_ecg", MEASURED, cell(",800,", ",-inf,"), "read", "rr_interval: -inf"),
    "rr of 5,000 digits": ("mimic_iv_ecg", MEASURED, cell(",800,", f",{LONG},"), "read", "entries"),
    "an axis in Arabic digits": (
        "mimic_iv_ecg",
        MEASURED,
        cell("-47", "\u0661"),
        "read",
        "qrs_axis",
    ),
    "an ID like a path": ("ludb", LUDB, cell("1,F", "../../outside/1,F"), "left out", "no row"),
    "age NaN": ("ludb", LUDB, cell("60", "NaN"), "read", ""),
    "a diagnosis of braces": ("ludb", LUDB, cell("Sinus", "{x} $ |"), "left out", "no known code"),
    "label 99": ("cpsc2018", CPSC, cell("A0001,1", "A0001,99"), "left out", "no known code"),
    "label 1e308": ("cpsc2018", CPSC, cell("A0001,1", "A0001,1e308"), "left out", "no known code"),
    "label in superscript": ("cpsc2018", CPSC, cell("A0001,1", "A0001,\u00b2"), "left out", "code"),
    "a recording like a path": (
        "cpsc2018",
        CPSC,
        cell("A0001", "../A0001"),
        "left out",
        "no label",
    ),
    "an archive bomb": ("cpsc2018", MAT, bomb, "left out", "unpacks to more than"),
    "samples NaN": ("cpsc2018", MAT, mat(data=np.full((12, 5000), np.nan)), "left out", "NaN"),
    "samples inf": ("cpsc2018", MAT, mat(data=np.full((12, 5000), np.inf)), "left out", "NaN"),
    "samples 1e308": (
        *("cpsc2018", MAT, mat(data=1e307 * good.beats(500))),
        *("left out", "e+307 mV, at most 20"),
    ),
    "samples as text": ("cpsc2018", MAT, mat(data="text"), "left out", "not calibrated"),
    "three axes": ("cpsc2018", MAT, mat(data=np.ones((3, 4, 5))), "left out", "12 lead names"),
    "no lead": ("cpsc2018", MAT, mat(data=np.ones((0, 5000))), "left out", "12 lead names"),
    "no sample": ("cpsc2018", MAT, mat(data=np.ones((12, 0))), "left out", ""),
    "complex samples": ("cpsc2018", MAT, mat(data=good.beats(500) * 1j), "left out", "calibrated"),
    "age and sex as arrays": (
        "cpsc2018",
        MAT,
        mat(age=np.ones((3, 3)), sex=np.ones(3)),
        "read",
        "",
    ),
    "no struct": ("cpsc2018", MAT, lambda path: savemat(path, {"x": 1}), "left out", "struct ECG"),
}


@pytest.mark.parametrize("name", CELLS)
def test_an_odd_cell_name_or_sample_costs_no_more_than_its_record(end, name):
    cohort, file, harm, how, words = CELLS[name]
    ended = end(cohort, file, harm)
    assert ended.how == how, ended
    assert words in ended.said + ended.out
    assert how == "refused" or "\x1b" not in ended.out  # what is printed steers no terminal


def test_a_folder_of_ecgs_may_itself_be_reached_through_a_link(roots, tmp_path):
    (tmp_path / "link").symlink_to(roots["ludb"])
    assert prepared("ludb", tmp_path / "link", tmp_path / "store").how == "read"


def as_nobody(work):
    """Return the text that a function gives in a child process without privileges."""
    outlet, inlet = os.pipe()
    if not (child := os.fork()):
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            said = work()
        except BaseException as error:
            said = f"escaped: {error!r}"
        os.write(inlet, said.encode()[:60_000])
        os._exit(0)
    os.close(inlet)
    with os.fdopen(outlet) as told:
        said = told.read()
    os.waitpid(child, 0)
    return said


def test_a_file_without_permission_is_named(roots):
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to others
        places = []
        for k, (cohort, file) in enumerate([*TABLES, *SIGNALS]):
            places.append(Path(folder, str(k)))
            shutil.copytree(roots[cohort], places[-1] / "root")
            (places[-1] / "root" / file).chmod(0)
        if os.geteuid() == 0:
            for path in [Path(folder), *Path(folder).rglob("*")]:
                os.chown(path, NOBODY, NOBODY)

        def work():
            ends = []
            for place, (cohort, file) in zip(places, [*TABLES, *SIGNALS], strict=True):
                ended = prepared(cohort, place / "root", place / "store")
                ends.append(f"{file}\t{ended.how}\t{ended.said}")
            return "\n".join(ends)

        lines = as_nobody(work).split("\n")
        assert len(lines) == len(TABLES) + len(SIGNALS), lines
        for line in lines:
            file, how, said = line.split("\t")
            assert how == ("refused" if file.endswith(".csv") else "left out")
            assert "permission" in said and Path(file).name in said, line
