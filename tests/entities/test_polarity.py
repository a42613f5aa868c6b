"""Test what a report asserts, doubts and denies, on sentences read by hand."""

import pytest
import yaml

from ecg_lib.entities import polarity
from ecg_lib.entities.lexicon import shipped_lexicon
from ecg_lib.entities.polarity import PolarityRules
from ecg_lib.errors import DataError

AFIB, LBBB = "atrial fibrillation", "left bundle branch block"
LVH, MI, IMI = "left ventricular hypertrophy", "myocardial infarction", "inferior"
IMI = "myocardial infarction in inferior leads"
AMI = "myocardial infarction in anterior leads"


def read(report):
    """Return the polarity of each entity by name, of the last mention if there are several."""
    return {m.name: m.polarity for m in shipped_lexicon().read(report)}


@pytest.mark.parametrize(
    ("report", "said"),
    [
        # denial, and where it ends
        ("No atrial fibrillation", {AFIB: "denied"}),
        ("Without evidence of inferior infarct.", {IMI: "denied"}),
        ("Absence of LVH", {LVH: "denied"}),
        ("LVH is not present", {LVH: "denied"}),
        ("Inferior infarct has been excluded", {IMI: "denied"}),
        ("No LVH. Atrial fibrillation.", {LVH: "denied", AFIB: "asserted"}),
        ("No LVH but atrial fibrillation", {LVH: "denied", AFIB: "asserted"}),
        ("Atrial fibrillation, no LVH", {AFIB: "asserted", LVH: "denied"}),
        ("No LVH, atrial fibrillation", {LVH: "denied", AFIB: "asserted"}),
        ("No LVH, inferior infarct or LBBB", {LVH: "denied", IMI: "denied", LBBB: "denied"}),
        ("Atrial fibrillation without LVH with LBBB",
         {AFIB: "asserted", LVH: "denied", LBBB: "asserted"}),
        # doubt
        ("Possible LVH", {LVH: "doubted"}),
        ("Probable inferior infarct, atrial fibrillation", {IMI: "doubted", AFIB: "asserted"}),
        ("Cannot exclude anterior infarct", {AMI: "doubted"}),
        ("Rule out anterior infarct", {AMI: "doubted"}),
        ("Anterior infarct cannot be excluded", {AMI: "doubted"}),
        ("Suspected LVH", {LVH: "doubted"}),
        ("LVH suspected", {LVH: "doubted"}),
        ("LVH?", {LVH: "doubted"}),
        ("Atrial fibrillation; consider LVH", {AFIB: "asserted", LVH: "doubted"}),
        ("LBBB, LVH is absent", {LBBB: "asserted", LVH: "denied"}),
        # neither
        ("Inferior infarct, probably old", {IMI: "asserted"}),
        ("No change. Inferior infarct", {IMI: "asserted"}),
        ("No significant change in inferior infarct", {IMI: "asserted"}),
        ("ST depression consistent with LVH",
         {LVH: "asserted", "non-specific st depression": "asserted"}),
        ("Sinus rhythm has replaced atrial fibrillation",
         {"sinus rhythm": "asserted", AFIB: "denied"}),
        # German as PTB-XL's carts write it: no full stops, the doubt may follow
        ("vorhofflimmern kein infarkt linksschenkelblock",
         {AFIB: "asserted", MI: "denied", LBBB: "asserted"}),
        ("qrs(t) abnorm    inferiorer infarkt     wahrscheinlich alt 4.46   unbestÄtigter bericht",
         {"abnormal qrs": "asserted", IMI: "asserted"}),
        ("linksschenkelblock linkshypertrophie mÖglich", {LBBB: "asserted", LVH: "doubted"}),
        ("inferiorer infarkt nicht auszuschliessen", {IMI: "doubted"}),
        ("verdacht auf linkshypertrophie", {LVH: "doubted"}),
        # labels that were appended as codes are no report
        ("sinus rhythm. Edit: atrial fibrillation 100", {"sinus rhythm": "asserted"}),
    ],
)  # fmt: skip
def test_a_sentence_is_read_as_a_cardiologist_reads_it(report, said):
    assert read(report) == said


def test_a_denial_does_not_reach_further_than_the_table_says():
    table = _table()
    near, far = (PolarityRules(table | {"reach": reach}) for reach in (2, 6))
    sentence = "no sign in any of the ####"
    assert near.of(sentence, 22, 26) == "asserted"
    assert far.of(sentence, 22, 26) == "denied"


def _table():
    text = (polarity.Path(polarity.__file__).parent / polarity.WORDS).read_text(encoding="utf-8")
    return yaml.safe_load(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reach": "far"}, "reach is 'far'"),
        ({"breaks": ["But"]}, "breaks: 'But' must be a phrase in lower case"),
        ({"joins": []}, "joins must be a list"),
        ({"denial": {"before": ["no"]}}, "denial must have the fields before and after"),
        ({"doubt": {"before": ["no"], "after": ["maybe"]}}, "'no' both denies and doubts"),
        ({"more": 1}, "the fields must be"),
    ],
)
def test_a_wrong_table_is_told_by_field(change, message):
    with pytest.raises(DataError, match=message):
        PolarityRules(_table() | change)
