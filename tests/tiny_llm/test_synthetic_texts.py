"""Tests of practice wordings and report pairs: true answers, and no held-out question."""

import re

import numpy as np
import pytest

from ecg_lib.questions.facets import CHANGES
from ecg_lib.questions.templates import load_templates, placeholders
from ecg_lib.questions.vocabulary import NO, NONE, YES
from ecg_lib.tiny_llm.paraphrases import all_variants, load_paraphrases, one_variant, paraphrase
from ecg_lib.tiny_llm.synthetic_reports import (
    PLACES,
    names_in_reports,
    synthetic_pairs,
)

WAYS = load_paraphrases()
TEMPLATES = load_templates()


def words(text):
    """Return the lower-case words of a text, with each ECG replaced by its place."""
    text = text.lower()
    for old, new in PLACES:
        text = text.replace(old.lower(), "{old}").replace(new.lower(), "{new}")
    return re.findall(r"\{\w+\}|\w+", text)


def edits(a, b):
    """Return the least number of words to insert, drop or replace."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def test_alternatives_are_drawn_one_of_each():
    assert all_variants("Is [it|that] so[| here]?") == [
        "Is it so?",
        "Is it so here?",
        "Is that so?",
        "Is that so here?",
    ]
    rng = np.random.default_rng(0)
    assert {one_variant("Is [it|that] so[| here]?", rng) for _ in range(100)} == set(
        all_variants("Is [it|that] so[| here]?")
    )


def test_distance_counts_words():
    assert edits("is it so".split(), "is it not so".split()) == 1
    assert edits("is it so".split(), "was that so".split()) == 2


def test_no_practice_sentence_is_within_two_words_of_a_held_out_wording():
    held_out = {
        tuple(words(text))
        for t in TEMPLATES.values()
        for text in (*t.wordings.dev, *t.wordings.test)
    }
    asked = [
        text
        for part in (*WAYS.ask.values(), WAYS.where, WAYS.one)
        for s in part
        for text in all_variants(s)
    ]
    assert len(asked) > 500
    near = [
        (text, " ".join(held))
        for text in asked
        for held in held_out
        if abs(len(words(text)) - len(held)) < 3 and edits(words(text), held) < 3
    ]
    assert not near


def test_every_word_of_a_held_out_comparison_has_been_met():
    """The sentence is new, but its words are known; the rest are in `general_text.yaml`."""
    met = {w for t in TEMPLATES.values() for text in t.wordings.train for w in words(text)}
    met |= {
        w
        for part in WAYS.ask.values()
        for s in part
        for text in all_variants(s)
        for w in words(text)
    }
    turns = {
        w
        for t in TEMPLATES.values()
        if t.two_ecgs
        for text in (*t.wordings.dev, *t.wordings.test)
        for w in words(text)
    } - met
    assert turns <= {
        "set",
        "against",
        "going",
        "into",
        "become",
        "became",
        "goes",
        "begins",
        "persists",
        "since",
        "alone",
    }


@pytest.mark.parametrize("number", [1, 2, 8, 12, 21, 26, 43, 48, 57])
def test_a_question_asked_anew_keeps_what_it_asks_about(number):
    rng = np.random.default_rng(0)
    question = TEMPLATES[number].questions()[-1]
    texts = {paraphrase(question, rng) for _ in range(60)}
    assert len(texts) > 5
    for text in texts:
        assert not placeholders(text) and "[" not in text
        assert all(value in text for value in question.values.values())
        for place in ("old", "new"):
            where = TEMPLATES[number].fill.get(place)
            assert where is None or where in text.lower().replace("ecg", "ECG")


def test_a_wording_without_words_of_practice_stays():
    question = TEMPLATES[42].questions()[0]
    assert question.template.wording not in WAYS.ask
    assert paraphrase(question, np.random.default_rng(0)) is None


def holds(report, finding):
    return any(s.removeprefix("possible ") == finding for s in report.split(". "))


def relation_of(question):
    """Return which comparison a question makes, and of which finding; None if it makes none."""
    trained = {}
    for t in TEMPLATES.values():
        if t.two_ecgs and t.wording in CHANGES:
            trained.setdefault(t.wording, set()).update(t.wordings.train)
    for relation in CHANGES:
        sentences = {text for s in WAYS.ask[relation] for text in all_variants(s)} | trained[
            relation
        ]
        for sentence in sentences:
            for old, new in PLACES:
                pattern = re.escape(sentence.replace("{old}", old).replace("{new}", new))
                pattern = pattern.replace(r"\{finding\}", "(.+?)")
                match = re.fullmatch(pattern, question, flags=re.IGNORECASE)
                if match and match.group(1) in names_in_reports():
                    return relation, match.group(1)
    return None


def test_answers_are_true_of_the_made_up_reports():
    compared = 0
    for pair in synthetic_pairs(30, seed=0):
        for question, answer in pair.turns:
            if answer in (YES, NO) and (found := relation_of(question)):
                relation, finding = found
                there = tuple(holds(report, finding) for report in pair.reports)
                assert (answer == YES) == (there == CHANGES[relation]), (pair.reports, question)
                compared += 1
            elif answer not in (YES, NO, NONE, "both") and not answer.startswith("the "):
                named = [told(pair.reports, finding) for finding in answer.split("; ")]
                assert len(set(named)) == 1 and named[0] in CHANGES.values()
                text = ". ".join(pair.reports)
                assert answer.split("; ") == sorted(answer.split("; "), key=text.find)
    assert compared > 80


def told(reports, name):
    return tuple(holds(report, name) for report in reports)


def test_each_comparison_is_true_every_second_time():
    said = [(relation_of(q), a) for pair in synthetic_pairs(60, seed=1) for q, a in pair.turns]
    for relation in CHANGES:
        yes = [answer == YES for found, answer in said if found and found[0] == relation]
        assert len(yes) > 20 and 0.3 < np.mean(yes) < 0.7


def test_a_seed_makes_up_the_same_pairs_and_another_one_others():
    assert synthetic_pairs(3, 0) == synthetic_pairs(3, 0) != synthetic_pairs(3, 1)
