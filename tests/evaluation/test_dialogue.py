"""Test the dialogue of Figure 4: the most urgent finding is explained, every line is marked."""

import numpy as np
import pytest

from ecg_lib.errors import DataError
from ecg_lib.evaluation import dialogue
from ecg_lib.evaluation.answer_marks import (
    CANNOT_SAY,
    MISSING,
    REPEATED,
    RIGHT,
    UNKNOWN,
    WRONG,
    Line,
    marked,
)
from ecg_lib.evaluation.dialogue import Turn
from ecg_lib.knowledge import advice
from ecg_lib.knowledge.glossary import load_glossary
from ecg_lib.report.figures import case_study
from ecg_lib.report.style import RED

INJURY = "subendocardial injury in anteroseptal leads"
DIGITALIS = "digitalis effect"
# Figure 4A as an earlier demo drew it: the harmless finding was explained instead of the urgent
# one, and the alarm signs of another finding went unmarked.
FINDING = Turn("Which diagnosis?", f"long qt-interval; {DIGITALIS}", f"long qt-interval; {INJURY}")
OTHER_SIGNS = Turn(
    "What do you suggest?",
    advice.advised(DIGITALIS, 64, "M").replace(
        load_glossary()[DIGITALIS].see_doctor, load_glossary()["sinus arrhythmia"].see_doctor
    ),
    advice.advised(DIGITALIS, 64, "M"),
)


def verdicts(turn):
    return [line.verdict for line in marked(turn.said, turn.truth)]


def test_the_most_urgent_finding_is_explained_first():
    assert dialogue.term_to_explain(FINDING) == INJURY
    both = Turn("", "sinus rhythm; early stage of myocardial infarction", "sinus rhythm")
    assert dialogue.term_to_explain(both) == "early stage of myocardial infarction"
    # equally urgent: the finding that was said is explained
    alike = Turn("", "inverted t-waves", "long qt-interval")
    assert dialogue.term_to_explain(alike) == "inverted t-waves"
    assert dialogue.term_to_explain(Turn("", "I do not know", INJURY)) == INJURY
    assert dialogue.term_to_explain(Turn("", "none", "none")) == "sinus rhythm"
    assert dialogue.term_to_explain(Turn("", "yes; lead V1", CANNOT_SAY)) == "sinus rhythm"


def test_a_finding_without_an_entry_is_named_and_not_skipped(monkeypatch):
    known = {term: entry for term, entry in load_glossary().items() if term != INJURY}
    monkeypatch.setattr("ecg_lib.knowledge.glossary.load_glossary", lambda: known)
    with pytest.raises(DataError, match=f"'{INJURY}' has no entry"):
        dialogue.term_to_explain(FINDING)


def test_wrong_alarm_signs_are_seen_though_everything_else_is_right():
    assert not dialogue.agrees(OTHER_SIGNS)
    assert verdicts(OTHER_SIGNS) == [RIGHT, WRONG, RIGHT, MISSING]
    missing = marked(OTHER_SIGNS.said, OTHER_SIGNS.truth)[-1]
    assert "nausea, blurred sight or a slow pulse" in missing.text


@pytest.mark.parametrize("term", ["sinus rhythm", DIGITALIS, INJURY, "atrial fibrillation"])
def test_every_half_of_an_explanation_counts(term):
    whole = advice.explained(term)
    assert dialogue.agrees(Turn("", whole, whole))
    assert dialogue.agrees(Turn("", f" {whole.upper()} ", whole))
    what, when = load_glossary()[term].what, load_glossary()[term].see_doctor
    for part in (what, when):
        assert not dialogue.agrees(Turn("", whole.replace(part, "A kind of tea."), whole))
        assert not dialogue.agrees(Turn("", whole.replace(part, ""), whole))
    assert not dialogue.agrees(Turn("", f"{whole} Do nothing.", whole))
    assert not dialogue.agrees(Turn("", "", whole))


def test_findings_are_marked_one_by_one_with_how_urgent_a_miss_is():
    said = f"long qt-interval; {DIGITALIS}; {DIGITALIS}; tea; non-specific st elevation"
    assert marked(said, f"long qt-interval; left axis deviation; {INJURY}") == [
        Line("long qt-interval", RIGHT),
        Line(DIGITALIS, WRONG),
        Line(DIGITALIS, REPEATED),
        Line("tea", WRONG),
        Line("non-specific st elevation (emergency)", WRONG),
        Line(f"{INJURY} (emergency)", MISSING),
        Line("left axis deviation", MISSING),
    ]
    assert marked("none", "none") == [Line("none", RIGHT)]
    assert marked("", "none") == [Line("(no answer)", WRONG)]
    assert marked(DIGITALIS, "none") == [Line(DIGITALIS, WRONG)]
    assert marked("no lvh", "none") == [Line("no lvh", WRONG)]
    assert marked(DIGITALIS, CANNOT_SAY) == [Line(DIGITALIS, UNKNOWN)]


def test_the_truth_of_an_explanation_is_the_whole_of_it(monkeypatch):
    monkeypatch.setattr(dialogue, "say", lambda model, processor, text: text)
    turn = dialogue.explain(None, None, DIGITALIS)
    assert turn.truth == advice.explained(DIGITALIS) and turn.said == turn.question
    assert load_glossary()[DIGITALIS].see_doctor in turn.truth


def test_the_case_study_is_a_table_with_every_line_marked(tmp_path):
    cases = {"One ECG": [Turn("What | is it?", "", "sinus rhythm"), FINDING, OTHER_SIGNS]}
    dialogue.write_case_study(tmp_path / "case_study.md", cases, "tiny LLM")
    text = (tmp_path / "case_study.md").read_text()
    assert "| What \\| is it? | (no answer) | sinus rhythm | **missing: sinus rhythm** |" in text
    assert f"right: long qt-interval<br>**wrong: {DIGITALIS}**" in text
    assert f"**missing: {INJURY} (emergency)**" in text
    assert "**wrong: When to see a doctor: If it comes with dizziness" in text
    assert "not for diagnosis" in text and [p.name for p in tmp_path.iterdir()] == ["case_study.md"]


def test_the_figure_prints_what_is_wrong_in_red_and_what_is_right_not():
    turns = [dialogue.shown(FINDING), dialogue.shown(OTHER_SIGNS)]
    fig = case_study.figure4_case_studies(
        [case_study.CaseStudy({"ECG": np.zeros((12, 1000))}, turns)], "tiny LLM"
    )
    printed = {t.get_text(): t.get_color() for ax in fig.axes for t in ax.texts}
    red = {text for text, color in printed.items() if color == RED}
    assert any(DIGITALIS in text and "wrong" in text for text in red)
    assert any(INJURY in text and "emergency" in text for text in red)
    assert any("wrong: When to see a doctor: If it comes with dizziness" in text for text in red)
    assert any("missing: When to see a doctor: The same day" in text for text in red)
    assert printed["\N{CHECK MARK} long qt-interval"] != RED
