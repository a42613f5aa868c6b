"""Templates, their wordings, the sentences a small model learns to read on, and truth."""

import re

import pandas as pd
import pytest
import yaml

from ecg_lib.errors import DataError
from ecg_lib.paths import ROOT
from ecg_lib.questions.schema import SHORT_NAMES
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.texts import load_general_text, load_glossary
from ecg_lib.questions.truth import answer, facet_of
from ecg_lib.questions.vocabulary import classes_for

TEMPLATES = load_templates()
SOURCE = ROOT / "ecg_lib" / "questions" / "templates.yaml"


def question(template_id, **values):
    return next(q for q in TEMPLATES[template_id].questions() if q.values == values)


def words(text):
    return set(re.findall(r"[a-z']+", re.sub(r"\{\w+\}", " ", text).lower()))


def ecg(attributes=None, **labels):
    return labels, attributes or {}


def test_all_seven_question_types_and_the_templates_of_the_paper_are_there():
    assert {t.question_type for t in TEMPLATES.values()} == set(SHORT_NAMES)
    assert {
        1,
        2,
        3,
        7,
        6,
        8,
        10,
        11,
        12,
        20,
        21,
        22,
        23,
        25,
        27,
        29,
        32,
        35,
        38,
        39,
        41,
        42,
        *range(43, 50),
        *range(57, 66),
        68,
        69,
    } <= set(TEMPLATES)


def test_question_types_match_the_real_shards(real_data):
    from ecg_lib.questions.ecgqa import read_ecgqa

    rows = read_ecgqa(real_data / "ecg-qa").drop_duplicates("template_id")
    for r in rows.itertuples():
        ours = TEMPLATES[r.template_id]
        assert (ours.question_type, ours.attribute_type) == (r.question_type, r.attribute_type)


def test_train_dev_and_test_wordings_are_disjoint_over_all_templates():
    train, dev, test = (
        {text.casefold() for t in TEMPLATES.values() for text in getattr(t.wordings, part)}
        for part in ("train", "dev", "test")
    )
    assert not train & test and not train & dev and not dev & test


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
    for template_id in (20, 22, 27, 29, 35, 38, 39, 41, 42):
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
