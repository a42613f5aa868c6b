"""Tests that dialogue practice gives the answers the dialogue expects, in no held-out wording."""

import re

from ecg_lib.knowledge import advice
from ecg_lib.knowledge.glossary import load_glossary
from ecg_lib.questions.templates import load_templates
from ecg_lib.tiny_llm.dialogue_turns import age_turns, dialogue_turns


def test_practice_explains_and_advises_as_the_dialogue_expects():
    said = dialogue_turns(600, seed=0)
    assert said == dialogue_turns(600, seed=0) and said != dialogue_turns(600, seed=1)
    explained = [turn for turn in said if turn[0].startswith("What does ")]
    advised = [turn for turn in said if " year old " in turn[0]]
    assert len(explained) == 400 and len(advised) == 200 and not set(explained) & set(advised)
    for question, answer in advised:
        age = float(re.search(r"\b(\d\d)\b", question)[1])
        sex = "F" if re.search(r"\b(woman|lady)\b", question) else "M"
        term = max((t for t in load_glossary() if t in question), key=len)
        assert answer == advice.advised(term, age, sex)
    for question, answer in explained:
        entry = load_glossary()[question.removeprefix("What does ").removesuffix(" mean?")]
        assert answer.startswith(entry.what) and answer.endswith(entry.see_doctor)
    held_out = {w for t in load_templates().values() for w in t.wordings.dev + t.wordings.test}
    assert not held_out & {question for question, _ in said}


def test_short_questions_practise_what_the_advice_begins_with():
    for question, answer in age_turns(300, seed=0):
        age = int(question.split()[0])
        sex = "F" if question.endswith(("woman?", "lady?")) else "M"
        assert f" {answer} should " in advice.advised("sinus rhythm", age, sex)
        assert len(answer.split()) <= 6
    assert len({answer for _, answer in age_turns(300, seed=0)}) == 6
