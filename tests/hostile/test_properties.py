"""Invariants of readers and scoring rules, tried on texts that hypothesis makes up.

The examples are the same in every run.
"""

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from odd_records import write_record

from ecg_lib.blind_test.replies import STATES, read_open, read_yes_no
from ecg_lib.data.printable import printable
from ecg_lib.data.record import EcgRecord
from ecg_lib.data.report_findings import read_findings
from ecg_lib.data.source_files import inside
from ecg_lib.data.sources.challenge import read_dx
from ecg_lib.data.sources.mimic_iv_ecg import clean_statements, split_of
from ecg_lib.data.table_cells import identifier, is_empty, unread_cell
from ecg_lib.data.wfdb_files import age_of, read_wfdb, sex_of
from ecg_lib.data.wfdb_header import read_header
from ecg_lib.data.write_store import write_store
from ecg_lib.ecg_llm.ask import stem_of
from ecg_lib.errors import BadRecord, DataError
from ecg_lib.evaluation.exact_match import RULES, is_correct, normalised_set
from ecg_lib.evaluation.label_prompt import filled
from ecg_lib.knowledge.findings import FINDINGS
from ecg_lib.knowledge.label_maps import label_map, translate
from ecg_lib.knowledge.value_limits import number, possible, value_limits
from ecg_lib.questions.vocabulary import all_answers, answer_text, normalise, parse_answer

steady = settings(
    derandomize=True,
    deadline=None,
    max_examples=100,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
few = settings(steady, max_examples=25)
CODES = sorted(label_map("snomed"))
PHRASES = sorted(label_map("mimic_iv_ecg"))
cells = st.one_of(
    st.text(), st.integers(), st.floats(), st.none(), st.booleans(), st.lists(st.integers())
)
answers = st.lists(st.sampled_from(all_answers()), min_size=1, max_size=4, unique=True)


@steady
@given(cells)
@example(">89y")
@example("9" * 5000)
@example("\u0661\u0662")
@example("1_0")
def test_an_age_is_unknown_or_within_its_limits(cell):
    low, high = value_limits()["age"]
    age = age_of(cell)
    assert math.isnan(age) or low <= age <= high


@steady
@given(cells)
def test_sex_is_female_male_or_unknown(cell):
    assert sex_of(cell) in ("F", "M", "")


@steady
@given(cells, st.sampled_from(sorted(value_limits())))
@example("1e308", "age")
@example("\uff11", "age")
def test_a_number_is_finite_or_unknown_and_a_possible_one_within_limits(cell, quantity):
    low, high = value_limits()[quantity]
    assert math.isnan(number(cell)) or math.isfinite(number(cell))
    value = possible(quantity, cell)
    assert math.isnan(value) or low <= value <= high


@steady
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_from_its_own_text(value):
    assert number(repr(value)) == value and number(f" {value!r} ") == value


@steady
@given(cells)
def test_an_identifier_is_text_without_white_space_at_its_ends(cell):
    text = identifier(cell)
    assert text == text.strip() and (text == "") == (is_empty(cell) or text == "")
    assert identifier(text) == text


@steady
@given(cells)
def test_a_cell_that_is_read_is_never_reported_as_unread(cell):
    assert unread_cell("x", cell, 1.0) == []
    told = unread_cell("x", cell, math.nan)
    assert bool(told) == (not is_empty(cell)) and all("\n" not in line for line in told)


LINE = st.text(st.characters(codec="utf-8"), max_size=40)


@steady
@given(st.one_of(st.binary(max_size=300), st.lists(LINE, max_size=15).map("\n".join)))
@example("a 1 500 10\na.dat 16\n")
@example("a/2 1 500 20\nb 10\n~ 10\n")
@example("a 1 500 10\n../../x 16\n")
def test_any_header_is_read_or_refused_with_a_reason(tmp_path_factory, text):
    folder = tmp_path_factory.getbasetemp()
    raw = text if isinstance(text, bytes) else text.encode()
    (folder / "a.hea").write_bytes(raw)
    try:
        header = read_header(folder / "a")
    except BadRecord as error:
        assert str(error)
        return
    assert math.isfinite(header.rate) and bool(header.channels) != bool(header.segments)
    names = [c.file for c in header.channels] + [name for name, _ in header.segments]
    assert all("/" not in name and name not in (".", "..") for name in names)


@few
@given(st.data())
def test_a_header_with_one_changed_line_is_read_right_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "changed"
    stem = write_record(folder / "a")
    right = read_wfdb(stem)
    path = folder / "a.hea"
    lines = path.read_text().split("\n")
    at = data.draw(st.integers(0, 12))
    words = lines[at].split(" ")
    words[data.draw(st.integers(0, len(words) - 1))] = data.draw(
        st.sampled_from(["", "0", "-1", "x", "9" * 30, "1e308", "nan", "16x500", "..", "\u0662"])
    )
    path.write_text("\n".join([*lines[:at], " ".join(words), *lines[at + 1 :]]))
    try:
        found = read_wfdb(stem)
    except BadRecord:
        return
    shared = [name for name in right.names if name in found.names]
    for name in shared:  # read as before, unless a gain or a rate says otherwise
        own = found.signal[found.names.index(name)]
        assert np.isfinite(own).all() and own.size


@steady
@given(st.sampled_from(CODES), st.lists(st.text(max_size=12), max_size=4), st.randoms())
def test_an_odd_token_of_dx_costs_itself_alone(code, odd, random):
    alone = read_dx(code)
    tokens = [code, *odd]
    random.shuffle(tokens)
    found = read_dx(",".join(tokens))
    assert alone.labels.items() <= found.labels.items()
    assert set(alone.unread) <= set(found.unread)


@steady
@given(
    st.lists(st.text(), max_size=5), st.sampled_from(["ludb", "cpsc", "ptbxl_stage", "report_de"])
)
def test_every_code_is_translated_or_listed(codes, source):
    found = translate(source, codes)
    assert set(found.labels) <= set(FINDINGS.index)
    assert set(found.unread) <= set(found.unmapped) <= set(codes)


@steady
@given(st.lists(st.one_of(st.text(), st.sampled_from(PHRASES)), max_size=4))
def test_any_statement_is_understood_or_listed(statements):
    found = read_findings(statements)
    assert set(found.labels) <= set(FINDINGS.index)
    assert all(0 < likelihood <= 100 for likelihood in found.labels.values())
    assert set(found.unread) <= set(statements)


@steady
@given(st.sampled_from([p for p in PHRASES if p.replace(" ", "").isalpha() and "normal" not in p]))
def test_a_denied_finding_is_no_finding(phrase):
    assert not read_findings([f"No {phrase}"]).labels


@steady
@given(st.lists(st.text(), max_size=18))
def test_cleaned_statements_are_single_lines_once_each(statements):
    cleaned = clean_statements(statements)
    assert len(set(cleaned)) == len(cleaned) and clean_statements(cleaned) == cleaned
    assert all(text and len(text.split("\n")) == 1 for text in cleaned)


@steady
@given(st.text())
def test_a_patient_s_split_depends_on_the_id_alone(patient):
    shares = (0.8, 0.1, 0.1)
    assert split_of(patient, shares) == split_of(patient, shares) in ("train", "valid", "test")


@steady
@given(answers, st.randoms())
def test_an_answer_is_right_in_any_order_case_and_spacing(gold, random):
    shuffled = gold[:]
    random.shuffle(shuffled)
    text = " ;  ".join(shuffled).upper()
    assert normalised_set(text, gold) and normalised_set(text, shuffled)
    assert all(is_correct("; ".join(gold), gold, rule) for rule in RULES[:3])


@steady
@given(answers, answers)
def test_one_answer_set_is_right_for_another_only_if_they_are_equal(gold, said):
    equal = {normalise(a) for a in gold} == {normalise(a) for a in said}
    assert normalised_set("; ".join(said), gold) == equal
    assert normalised_set("; ".join(gold), said) == equal


@steady
@given(st.text(), answers)
def test_any_prediction_is_judged_and_a_stricter_rule_never_says_more(text, gold):
    strict, string, whole, _ = (is_correct(text, gold, rule) for rule in RULES)
    assert strict <= string <= whole
    assert parse_answer(text) <= set(all_answers())


@steady
@given(answers)
def test_an_answer_is_read_back_from_its_text(gold):
    assert parse_answer(answer_text(gold), strict=True) == set(gold)


@steady
@given(st.text())
def test_any_reply_is_in_one_of_the_states(text):
    for read in (read_yes_no, read_open):
        answer, state = read(text)
        assert state in STATES and isinstance(answer, str)
    assert read_yes_no(f"  {'Yes'}. ")[0] == "yes"


@steady
@given(st.text(), st.text())
def test_words_of_a_label_stand_in_a_prompt_as_they_are(before, words):
    prompt = before.replace("{", "{{").replace("}", "}}") + "{label}"
    assert filled(prompt, words) == before + words


@steady
@given(st.text())
def test_what_is_printed_is_one_line(text):
    assert all(ch.isprintable() for ch in printable(text))


PARTS = st.lists(st.sampled_from(["..", ".", "a", "b", "", "~", "*", "-x", " "]), max_size=6)


@steady
@given(PARTS)
def test_a_path_is_inside_only_if_it_is(tmp_path_factory, parts):
    root = tmp_path_factory.getbasetemp()
    path = root / "/".join(parts).lstrip("/")
    assert inside(root, path) == path.resolve().is_relative_to(root.resolve())


@steady
@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=20))
def test_a_record_is_named_with_or_without_suffix(tmp_path_factory, name):
    path = tmp_path_factory.getbasetemp() / name
    assert stem_of(stem_of(path)) == stem_of(path)
    with pytest.raises(BadRecord, match="no header file"):
        read_header(path.parent / f"{name} is not there")


labels = st.dictionaries(st.sampled_from(sorted(FINDINGS.index)), st.floats(0, 100), max_size=4)
texts = st.text(st.characters(codec="utf-8"), max_size=30)


class Made:
    """A source of records that were made up."""

    name, version = "made", "1"

    def __init__(self, records):
        self.records = records

    def index(self):
        return list(range(len(self.records)))

    def item_name(self, item):
        return self.records[item].ecg_id

    def read(self, item):
        return self.records[item]


@few
@given(
    st.lists(
        st.tuples(texts, texts, labels, st.floats(0, 120), st.sampled_from(["F", "M", ""])),
        min_size=1,
        max_size=4,
    )
)
def test_a_store_gives_back_what_was_written(tmp_path_factory, rows):
    signal = np.rint(1000 * np.random.default_rng(0).normal(0, 1, (12, 50))).astype(np.float32)
    records = [
        EcgRecord(f"made/{k}", f"{k}", signal * np.float32(1e-3), report=report, labels=own)
        for k, (report, _, own, _, _) in enumerate(rows)
    ]
    records = [
        EcgRecord(r.ecg_id, r.patient_id, r.signal, date, age, sex, r.labels, r.report)
        for r, (_, date, _, age, sex) in zip(records, rows, strict=True)
    ]
    store = write_store(tmp_path_factory.mktemp("made") / "store", Made(records))
    store.verify()
    for k, record in enumerate(records):
        found = store.record(k)
        for field in ("ecg_id", "patient_id", "recorded_at", "age", "sex", "labels", "report"):
            assert getattr(found, field) == getattr(record, field)
        np.testing.assert_allclose(found.signal, record.signal, atol=5e-4)
    told = json.loads((store.folder / "manifest.json").read_text())
    assert told["counts"]["kept"] == len(rows)


def test_an_unknown_field_of_a_prompt_is_refused():
    with pytest.raises(DataError):
        filled("{label} {x}", "AF")
