"""Tests of the templates, their wordings, the tiny LLM's general text and the true answers."""

import re

import pandas as pd
import pytest
import yaml

from ecg_lib.errors import DataError
from ecg_lib.knowledge.glossary import load_glossary
from ecg_lib.paths import ROOT
from ecg_lib.questions.facets import answer, facet_of
from ecg_lib.questions.schema import SHORT_NAMES
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import classes_for
from ecg_lib.tiny_llm.general_text import load_general_text

TEMPLATES = load_templates()
SOURCE = ROOT / "ecg_lib" / "questions" / "templates.yaml"


def question(template_id, **values):
    return next(q for q in TEMPLATES[template_id].questions() if q.values == values)


def words(text):
    return set(re.findall(r"[a-z']+", re.sub(r"\{\w+\}", " ", text).lower()))


def ecg(attributes=None, **labels):
    return labels, attributes or {}


@pytest.fixture(scope="module")
def texts():
    """Map each part to the text of all its questions, in lower case, with the question's id."""
    found = {"train": [], "dev": [], "test": []}
    for part, pairs in found.items():
        for template in TEMPLATES.values():
            for q in template.questions():
                for swap in (False, True) if template.form == "choose" else (False,):
                    for wording in getattr(template.wordings, part):
                        pairs.append((q.text(wording, swap).casefold(), q.id))
    return found


def test_all_seventy_templates_have_the_types_and_the_answers_of_ecg_qa():
    table = pd.read_csv(ROOT / "tests" / "ecgqa_templates.csv", comment="#")
    assert table.template_id.tolist() == list(range(1, 71)) == sorted(TEMPLATES)
    assert set(table.question_type) == set(SHORT_NAMES)
    for row in table.itertuples():
        ours = TEMPLATES[row.template_id]
        assert (ours.question_type, ours.attribute_type) == (row.question_type, row.attribute_type)
        assert len(classes_for(row.template_id)) >= row.answers
    more = [
        r.template_id for r in table.itertuples() if len(classes_for(r.template_id)) > r.answers
    ]
    # The release leaves out answers that its sampling never drew.
    assert more == [18, 48, 49]


def test_a_template_has_its_sentence_and_ten_paraphrases():
    for template in TEMPLATES.values():
        w = template.wordings
        assert (len(w.train), len(w.dev), len(w.test), len(set(w.all()))) == (7, 1, 3, 11)
        assert w.sentence == w.train[0]


def test_question_types_match_the_real_shards(real_data):
    from ecg_lib.questions.ecgqa_rows import read_ecgqa

    rows = read_ecgqa(real_data / "ecg-qa").drop_duplicates("template_id")
    for r in rows.itertuples():
        ours = TEMPLATES[r.template_id]
        assert (ours.question_type, ours.attribute_type) == (r.question_type, r.attribute_type)


def test_train_dev_and_test_texts_are_disjoint_over_all_questions(texts):
    train, dev, test = ({text for text, _ in texts[part]} for part in ("train", "dev", "test"))
    assert not train & test and not train & dev and not dev & test
    assert len(train) > 5 * len(dev) > 5 * 2000


def test_no_text_asks_two_questions(texts):
    owners = {}
    for pairs in texts.values():
        for text, question_id in pairs:
            owners.setdefault(text, set()).add(question_id)
    assert max(map(len, owners.values())) == 1


def test_the_wordings_are_not_those_of_ecg_qa(real_data, texts):
    from ecg_lib.questions.ecgqa_rows import read_ecgqa

    ours = {text for pairs in texts.values() for text, _ in pairs}
    for form in ("template", "paraphrased"):
        theirs = set(read_ecgqa(real_data / "ecg-qa", form=form).question.str.casefold())
        assert theirs and not ours & theirs


def test_the_paper_s_seven_questions_are_train_wordings():
    quoted = pd.read_csv(ROOT / "results" / "published" / "table1_bias.csv").question
    asked = {
        q.text(wording)
        for i in (1, 12, 23)
        for q in TEMPLATES[i].questions()
        for wording in q.template.wordings.train
    }
    assert set(quoted) <= asked


def test_every_test_and_dev_word_is_met_in_general_text_but_no_wording_is():
    sentences = load_general_text()
    met = set().union(*map(words, sentences))
    plain = {" ".join(re.findall(r"\w+", s.lower())) for s in sentences}
    for template in TEMPLATES.values():
        for wording in (*template.wordings.dev, *template.wordings.test):
            assert words(wording) <= met, (template.id, wording, words(wording) - met)
            assert " ".join(re.findall(r"\w+", wording.lower())) not in plain


def test_general_text_and_glossary_are_complete():
    assert 80 <= len(load_general_text()) <= 120
    glossary = load_glossary()
    assert len(glossary) >= 30
    assert all(e.what.endswith(".") and e.see_doctor.endswith(".") for e in glossary.values())


def test_question_ids_are_unique():
    ids = [q.id for t in TEMPLATES.values() for q in t.questions()]
    assert len(set(ids)) == len(ids)


def test_no_question_keeps_a_placeholder_and_swapping_exchanges_the_options():
    for template in TEMPLATES.values():
        for wording in template.wordings.all():
            assert "{" not in template.questions()[0].text(wording)
    q = question(7, a="atrial fibrillation", b="atrial flutter")
    plain, swapped = (q.text(q.template.wordings.sentence, swap) for swap in (False, True))
    assert plain != swapped and sorted(plain) == sorted(swapped)
    assert q.attribute(swap=True) == ["atrial flutter", "atrial fibrillation"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c["wordings"]["normal"]["test"].pop(),
            "wordings 'normal': need 6 train and 3 test",
        ),
        (
            lambda c: c["wordings"]["normal"]["test"].__setitem__(0, "Is this a normal ECG?"),
            "occurs twice",
        ),
        (
            lambda c: c["wordings"]["normal"]["train"].__setitem__(0, "Is {this} so?"),
            "unknown placeholder",
        ),
        (lambda c: c["wordings"]["axis"].update(dev="Is {finding} in lead aVF?"), "names a lead"),
        (lambda c: c["templates"][1].update(ask="maybe"), "template 2: ask 'maybe'"),
        (lambda c: c["templates"][0].pop("options"), "template 1: nothing fills {finding}"),
        (lambda c: c["templates"].append(dict(c["templates"][1])), "template 2 is defined twice"),
        (
            lambda c: c["wordings"]["normal"].update(dev="Is there anything unusual in this ECG?"),
            "is a train sentence of template 12",
        ),
        (
            lambda c: c["templates"].append({**c["templates"][0], "id": 71}),
            "template 71 asks 'does this ecg contain",
        ),
    ],
)
def test_a_broken_template_is_named(tmp_path, change, said):
    content = yaml.safe_load(SOURCE.read_text())
    change(content)
    path = tmp_path / "templates.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(DataError) as error:
        load_templates(path)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [
        (0, "yes"),
        (100, "yes"),
        (15, "not sure"),
        (35, "not sure"),
        (50, "not sure"),
        (80, "not sure"),
    ],
)
def test_likelihood_zero_is_certain_and_only_the_middle_is_unsure(likelihood, expected):
    q = question(1, finding="incomplete right bundle branch block")
    assert answer(q, [ecg(IRBBB=likelihood)]) == [expected]
    assert answer(q, [ecg(NORM=100)]) == ["no"]


def test_a_normal_ecg_with_sinus_arrhythmia_is_normal_and_abnormal():
    record = ecg(NORM=80, SARRH=0)
    assert answer(TEMPLATES[2].questions()[0], [record]) == ["yes"]
    assert answer(TEMPLATES[12].questions()[0], [record]) == ["yes"]
    assert answer(TEMPLATES[12].questions()[0], [ecg(NORM=100, SR=0)]) == ["no"]


def test_uncertain_diagnoses_count_only_where_they_are_asked_for():
    record = ecg(IMI=35, LVH=100, SR=0)
    assert answer(TEMPLATES[8].questions()[0], [record]) == [
        "left ventricular hypertrophy",
        "myocardial infarction in inferior leads",
    ]
    assert answer(TEMPLATES[9].questions()[0], [record]) == ["left ventricular hypertrophy"]
    assert answer(TEMPLATES[10].questions()[0], [record]) == ["sinus rhythm"]
    assert answer(TEMPLATES[11].questions()[0], [record]) == ["none"]


def test_a_diagnosis_outside_the_closed_vocabulary_is_not_asked_for_by_query():
    assert answer(TEMPLATES[8].questions()[0], [ecg(WPW=100, LVH=100)]) is None
    assert answer(question(1, finding="wolf-parkinson-white syndrome"), [ecg(WPW=100)]) == ["yes"]


def test_a_record_that_cannot_say_is_not_asked():
    silent = ecg(SR=0)
    for template_id in (*range(17, 23), *range(26, 43)):
        assert answer(TEMPLATES[template_id].questions()[0], [silent]) is None
    assert answer(TEMPLATES[25].questions()[0], [silent]) == ["none of myocardial infarction"]
    assert answer(TEMPLATES[25].questions()[0], [ecg(IMI=100)]) is None


def test_choose_answers_one_both_or_none():
    q = question(7, a="atrial fibrillation", b="sinus arrhythmia")
    assert answer(q, [ecg(AFIB=0)]) == ["atrial fibrillation"]
    assert answer(q, [ecg(AFIB=0, SARRH=0)]) == ["atrial fibrillation", "sinus arrhythmia"]
    assert answer(q, [ecg(SR=0)]) == ["none"]


def test_normal_ranges_include_their_bounds_and_have_no_lower_one_for_p():
    def place(feature, seconds):
        return set(facet_of(f"range of {feature}", {}, {"intervals": {feature: seconds}}))

    assert place("qrs duration", 0.11) == place("rr interval", 0.6) == {"within the normal range"}
    assert place("pr interval", 0.21) == place("qt corrected", 0.56) == {"above the normal range"}
    assert place("qt interval", 0.32) == {"below the normal range"}
    assert place("p duration", 0.01) == {"within the normal range"}
    assert (
        facet_of("range of pr interval", {}, {"intervals": {"pr interval": float("nan")}}) is None
    )


def test_noise_is_asked_by_lead():
    record = ecg({"noise": {"static noise": ["V1", "V2"]}})
    assert answer(question(26, finding="static noise", lead="lead V1"), [record]) == ["yes"]
    assert answer(question(26, finding="static noise", lead="lead I"), [record]) == ["no"]
    assert answer(question(26, finding="burst noise", lead="lead V1"), [record]) == ["no"]
    assert answer(question(28, lead="lead V2"), [record]) == ["yes"]
    assert answer(question(28, lead="lead V3"), [record]) == ["no"]
    assert answer(question(34, finding="static noise"), [record]) == ["lead V1", "lead V2"]
    assert answer(question(34, finding="burst noise"), [record]) == ["none"]
    assert answer(question(33, lead="lead V1"), [record]) == ["static noise"]
    assert answer(question(33, lead="lead V6"), [record]) == ["none"]


def test_choosing_a_noise_is_about_one_lead_and_the_options_are_the_noises():
    q = question(31, a="burst noise", b="static noise", lead="lead V1")
    both = {"static noise": ["V1"], "burst noise": ["V1"], "baseline drift": ["V1"]}
    elsewhere = {"static noise": ["V2"], "burst noise": ["V1"]}
    assert answer(q, [ecg({"noise": both})]) == ["burst noise", "static noise"]
    assert answer(q, [ecg({"noise": elsewhere})]) == ["burst noise"]
    assert answer(q, [ecg({"noise": {"baseline drift": ["V1"]}})]) == ["none"]
    assert q.attribute(swap=True) == ["static noise", "burst noise"]
    assert len(TEMPLATES[31].questions()) == 6 * 12


def test_forms_are_asked_by_lead_and_by_region():
    record = ecg({"form_leads": {"INVT": ["V2", "aVL"], "QWAVE": ["V2"]}}, INVT=0, QWAVE=0, SR=0)
    inverted = "inverted t-waves"

    def shown(finding, place):
        return answer(question(17, finding=finding, lead=place), [record])

    assert shown(inverted, "lead V2") == shown(inverted, "the limb leads") == ["yes"]
    assert shown(inverted, "lead V3") == shown("q waves present", "the limb leads") == ["no"]
    # This finding is absent from the whole ECG.
    assert shown("non-specific st depression", "the chest leads") == ["no"]
    assert answer(question(18, lead="lead V2"), [record]) == [inverted, "q waves present"]
    assert answer(question(18, lead="lead I"), [record]) == ["none"]
    assert answer(question(19, finding=inverted), [record]) == ["lead V2", "lead aVL"]
    assert answer(question(19, finding="abnormal qrs"), [record]) == ["none"]


def test_a_form_whose_leads_are_not_told_is_not_asked_by_lead():
    vague = ecg({"form_leads": {"INVT": ["V2"]}}, INVT=0, STD_=0)
    depression = "non-specific st depression"
    assert answer(question(17, finding=depression, lead="lead V2"), [vague]) is None
    assert answer(question(19, finding=depression), [vague]) is None
    assert answer(question(18, lead="lead V2"), [vague]) is None
    assert answer(question(19, finding="inverted t-waves"), [vague]) == ["lead V2"]
    # An early beat has no lead, so a lead can be described without it.
    early = ecg({"form_leads": {"INVT": ["V2"]}}, INVT=0, PVC=0)
    assert answer(question(18, lead="lead V2"), [early]) == ["inverted t-waves"]
    assert answer(question(19, finding="ventricular premature complex"), [early]) is None


def test_a_range_is_chosen_of_a_feature_and_answered_without_it():
    q = question(40, a="above the normal range", b="within the normal range", feature="qt interval")
    assert answer(q, [ecg({"intervals": {"qt interval": 0.46}})]) == ["above the normal range"]
    assert answer(q, [ecg({"intervals": {"qt interval": 0.30}})]) == ["none"]
    assert answer(q, [ecg({"intervals": {"rr interval": 0.80}})]) is None
    assert q.attribute() == [
        "above the normal range of qt interval",
        "within the normal range of qt interval",
    ]
    assert classes_for(40, q.template.question_type, q.attribute()) == (
        "none",
        "above the normal range",
        "within the normal range",
    )


def test_the_order_of_two_ecgs_carries_meaning():
    before, after = ecg(SR=0), ecg(SR=0, LVH=100)
    verify = {
        ask: question(i, finding="left ventricular hypertrophy")
        for i, ask in ((43, "removed"), (44, "new"), (45, "still"), (46, "absent"))
    }
    assert (
        answer(verify["new"], [before, after])
        == answer(verify["removed"], [after, before])
        == ["yes"]
    )
    assert (
        answer(verify["new"], [after, before])
        == answer(verify["removed"], [before, after])
        == ["no"]
    )
    assert (
        answer(verify["still"], [after, after])
        == answer(verify["absent"], [before, before])
        == ["yes"]
    )
    assert answer(TEMPLATES[48].questions()[0], [before, after]) == ["left ventricular hypertrophy"]
    assert answer(TEMPLATES[48].questions()[0], [after, before]) == ["none"]
    assert answer(TEMPLATES[49].questions()[0], [after, before]) == ["sinus rhythm"]


def test_measurements_are_compared_by_range():
    def with_rr(seconds):
        return ecg({"intervals": {"rr interval": seconds}})

    assert answer(TEMPLATES[68].questions()[0], [with_rr(1.4), with_rr(0.8)]) == ["rr interval"]
    assert answer(TEMPLATES[69].questions()[0], [with_rr(0.8), with_rr(0.5)]) == ["rr interval"]
    # Too slow and then too fast is abnormal both times.
    assert answer(TEMPLATES[70].questions()[0], [with_rr(1.4), with_rr(0.5)]) == ["rr interval"]
    assert answer(question(64, feature="rr interval"), [with_rr(1.4), with_rr(0.8)]) == ["yes"]


def test_truth_answers_only_what_the_class_list_admits():
    record = ecg(
        {
            "heart_axis": "left axis deviation",
            "noise": {},
            "extrasystoles": [],
            "intervals": {"rr interval": 1.2},
        },
        IMI=100,
        INVT=0,
        SR=0,
    )
    for template in TEMPLATES.values():
        for q in template.questions()[:5]:
            given = answer(q, [record, record] if template.two_ecgs else [record])
            admitted = set(classes_for(template.id, template.question_type, q.attribute()))
            assert given is None or set(given) <= admitted
