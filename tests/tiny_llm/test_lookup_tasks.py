"""Tests of look-ups in made-up reports: true and balanced answers, short reports before long."""

import re

import numpy as np
import pytest

from ecg_lib.data.record import EcgRecord
from ecg_lib.data.simulated.reports import statements
from ecg_lib.knowledge.findings import load_findings
from ecg_lib.questions.facets import CHANGES
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import NO, NONE, YES, answers_in, classes_for
from ecg_lib.tiny_llm.lookup_tasks import ALONE, ANY_NOISE, FEW, SEVERAL, SHORT, lookup_tasks
from ecg_lib.tiny_llm.paraphrases import load_paraphrases
from ecg_lib.tiny_llm.synthetic_reports import (
    PLACES,
    WHERE,
    names_in_reports,
    synthetic_pairs,
    topics,
)

WAYS = load_paraphrases()
TEMPLATES = load_templates()
RELATIONS = {
    words.format(old=old, new=new): relation
    for relation, few in WAYS.senses.items()
    for words in few
    for old, new in PLACES
}
WHOLE = {f"{words}?": kind for kind, few in WAYS.whole.items() for words in few}
NOISE_AND_LEAD = re.compile(
    f"({'|'.join([*answers_in('noise'), ANY_NOISE])}) in "
    rf"({'|'.join(answers_in('lead'))})\?"
)


def told(reports, name):
    """Return for each report whether it states a finding, as possible or certain."""
    return tuple(any(s.removeprefix("possible ") == name for s in r.split(". ")) for r in reports)


def noisy_leads(report):
    """Read the leads per kind of noise off a report; a kind stated without leads is left out."""
    said = [re.fullmatch(r"(.+?) in (.+)", s) for s in report.split(". ")]
    return {m[1]: m[2].split(", ") for m in said if m and m[1] in answers_in("noise")}


def listed_topic(question):
    """Return topic and relation of a short list question such as "finding gone?", or None."""
    for topic in topics():
        if question == f"{topic}?":
            return topic, None
        for words, relation in RELATIONS.items():
            if question == f"{topic} {words}?":
                return topic, relation
    return None


def listed(reports, topic, relation):
    """Compute the expected list: the matching findings in the order of the reports, each once."""
    groups = {
        "possible or certain diagnosis": "diagnostic",
        "certain diagnosis": "diagnostic",
        "wave form": "form",
        "rhythm": "rhythm",
        "heart axis": "axis",
        "noise": "noise",
        "infarction stage": "stage",
        "kind of extra beat": "extrasystole",
    }
    named = []
    for said in ". ".join(reports).split(". "):
        name = said.removeprefix("possible ")
        right = name in (
            answers_in("diagnostic", "form", "rhythm")
            if topic == "finding"
            else answers_in(groups[topic])
        )
        if topic == "certain diagnosis" and said != name:
            right = False
        if relation and told(reports, name) != CHANGES[relation]:
            right = False
        if right and name not in named:
            named.append(name)
    nothing = "none of myocardial infarction" if topic == "infarction stage" else NONE
    return "; ".join(named) or nothing


def test_lists_are_asked_of_what_templates_ask_of_a_whole_ecg():
    groups = {
        "possible or certain diagnosis": ("diagnostic",),
        "wave form": ("form",),
        "certain diagnosis": ("diagnostic",),
        "rhythm": ("rhythm",),
        "noise": ("noise",),
        "heart axis": ("axis",),
        "infarction stage": ("stage",),
        "kind of extra beat": ("extrasystole",),
        "finding": ("diagnostic", "form", "rhythm"),
    }
    assert {topic: of.names for topic, of in topics().items()} == {
        topic: frozenset(answers_in(*named)) & set(names_in_reports())
        for topic, named in groups.items()
    }
    assert [topic for topic, of in topics().items() if of.certain] == ["certain diagnosis"]
    assert {topic for topic, of in topics().items() if of.empty != NONE} == {"infarction stage"}
    for template in TEMPLATES.values():
        if (of := topics().get(template.fill.get("topic", ""))) and template.wording in (
            "query",
            "which_removed",
            "which_new",
            "which_still",
        ):
            rest = set(classes_for(template.id)) - of.names
            assert of.names <= set(classes_for(template.id)) and rest <= {
                NONE,
                "none of myocardial infarction",
                "unknown stage of myocardial infarction",
            }


@pytest.mark.parametrize("draw, n", [(lookup_tasks, 2000), (synthetic_pairs, 300)])
def test_every_finding_is_practised(draw, n):
    texts = draw(n, seed=0)
    said = {
        name.removeprefix("possible ")
        for text in texts
        for report in text.reports
        for name in report.split(". ")
    }
    assert set(load_findings()["name"]) - said <= {"normal ecg"}  # ECG-QA answers with 59 of 73
    asked = " ".join(question for text in texts for question, _ in text.turns)
    assert all(name in asked for name in set(load_findings()["name"]) - {"normal ecg"})


def test_answers_to_short_questions_are_true_and_balanced():
    said, lists = [], 0
    for text in lookup_tasks(400, seed=0):
        for question, answer in text.turns:
            if NOISE_AND_LEAD.fullmatch(question) or question in WHOLE:
                continue  # covered by the tests below
            if (topic := listed_topic(question)) is not None:
                assert answer == listed(text.reports, *topic)
                lists += 1
                continue
            name = max((n for n in names_in_reports() if question.startswith(n)), key=len)
            asked = question.removesuffix("?").removeprefix(name).strip()
            there = told(text.reports, name)
            if len(text.reports) == 1:
                doubt = f"possible {name}" in text.reports[0].split(". ")
                assert answer == ("not sure" if doubt else YES if there[0] else NO)
            elif asked == "where":
                assert answer == WHERE[there]
            elif asked in RELATIONS:
                assert (answer == YES) == (there == CHANGES[RELATIONS[asked]])
            else:
                place = asked.removeprefix("in ")
                k = next(k for places in PLACES for k in (0, 1) if places[k] == place)
                assert (answer == YES) == there[k]
            said.append((len(text.reports), answer))
    assert lists > 100
    single = [a for n, a in said if n == 1]
    assert 0.4 < single.count(NO) / len(single) < 0.6
    where = [a for n, a in said if n == 2 and a in WHERE.values()]
    assert all(0.2 < where.count(a) / len(where) < 0.3 for a in WHERE.values())


def test_a_look_up_of_noise_by_lead_is_true_and_balanced():
    said = []
    for text in lookup_tasks(800, seed=0):
        for question, answer in text.turns:
            if asked := NOISE_AND_LEAD.fullmatch(question):
                there = noisy_leads(*text.reports)
                of = there if asked[1] == ANY_NOISE else {asked[1]} & set(there)
                assert (answer == YES) == any(asked[2] in there[kind] for kind in of)
                said.append((asked[1], len(there), answer))
    assert {kind for kind, _, _ in said} == {*answers_in("noise"), ANY_NOISE}
    assert {n for _, n, _ in said} == {1, 2}
    for kinds in ({ANY_NOISE}, set(answers_in("noise"))):
        answers = [answer for kind, _, answer in said if kind in kinds]
        assert len(answers) > 80 and 0.3 < answers.count(YES) / len(answers) < 0.6


def test_whether_all_is_normal_is_asked_of_reports_that_tell_and_answered_evenly():
    labels = set(load_findings()["name"]) - {"sinus rhythm", "normal ecg"}
    said = []
    for text in lookup_tasks(600, seed=0):
        asked = [(WHOLE[q], a) for q, a in text.turns if q in WHOLE]
        if not asked:
            continue
        report = {name.removeprefix("possible ") for name in text.reports[0].split(". ")}
        truth = "normal" if "normal ecg" in report else "abnormal"
        assert (truth == "abnormal") == bool(report & labels)  # as for an ECG
        assert all((answer == YES) == (kind == truth) for kind, answer in asked)
        said += [(truth, *turn) for turn in asked]
    assert {q for t in lookup_tasks(2000, seed=1) for q, _ in t.turns} >= set(WHOLE)
    assert len(said) > 100 and 0.4 < sum(a == YES for *_, a in said) / len(said) < 0.6
    assert 0.3 < sum(truth == "normal" for truth, *_ in said) / len(said) < 0.7


def test_normal_and_abnormal_wordings_do_not_overlap():
    assert not set(WAYS.whole["normal"]) & set(WAYS.whole["abnormal"])
    assert set(WAYS.whole) == {"normal", "abnormal"}


def test_a_made_up_report_states_noise_as_the_report_of_an_ecg_does():
    texts = [t for t in lookup_tasks(200, seed=0, start=SHORT) if noisy_leads(t.reports[0])]
    assert 10 < len(texts) < 80
    for text in texts:
        leads = {
            kind: [name.removeprefix("lead ") for name in where]
            for kind, where in noisy_leads(text.reports[0]).items()
        }
        ecg = EcgRecord("made up/1", "1", np.zeros((12, 1000)), attributes={"noise": leads})
        assert set(statements(ecg, {"noise"})) <= set(text.reports[0].split(". "))


def most_findings(texts):
    return max(len(report.split(". ")) for text in texts for report in text.reports)


def changes(texts):
    """Return the words with which texts ask what became of a finding."""
    ends = [question.removesuffix("?") for text in texts for question, _ in text.turns]
    return {
        words
        for words in RELATIONS
        for end in ends
        if any(end == f"{name} {words}" for name in (*names_in_reports(), "finding"))
    }


def test_look_ups_go_from_short_reports_to_long_ones_and_to_two():
    texts = lookup_tasks(800, seed=3)
    short, alone, few, several = (round(share * 800) for share in (SHORT, ALONE, FEW, SEVERAL))
    assert {len(t.reports) for t in texts[:alone]} == {1}
    assert most_findings(texts[:short]) == 3 < most_findings(texts[short:alone]) == 8
    assert {answer for t in texts[:short] for _, answer in t.turns} == {YES, NO}
    assert any(answer == "not sure" for t in texts[short:alone] for _, answer in t.turns)
    assert any(listed_topic(q) for t in texts[short:alone] for q, _ in t.turns)
    first, then, last = (
        [t for t in part if len(t.reports) == 2]
        for part in (texts[alone:few], texts[few:several], texts[several:])
    )
    assert 0.4 < len(first) / (few - alone) < 0.6 < 0.65 < len(then) / (several - few) < 0.85
    assert most_findings(first) == 2 < most_findings(then) == 6 < most_findings(last) <= 10
    assert changes(first) == changes(then) == {few[0] for few in WAYS.senses.values()}
    assert len(changes(last)) > 60


def test_a_course_that_starts_later_has_the_later_part():
    assert most_findings(t for t in lookup_tasks(40, 0, start=FEW) if len(t.reports) == 2) > 2
    assert 5 < sum(len(t.reports) == 2 for t in lookup_tasks(40, 0, start=ALONE)) < 40
    assert all(len(t.turns) == 5 for t in lookup_tasks(10, 0, questions=5))
