"""Tests that everyday passages have true answers and are not test wordings with other nouns."""

import re
from collections import Counter

import pytest

from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.vocabulary import NO, NONE, YES
from ecg_lib.tiny_llm.toy_passages import TRUE_OF, load_toy_sentences, toy_passages

TABLE = load_toy_sentences()
COMPARING = [t for t in load_templates().values() if t.id in (*range(43, 49), *range(57, 63))]


@pytest.fixture(scope="module")
def passages():
    return toy_passages(400, seed=0)


def lists_of(passage):
    """Return the two lists of a passage, found by the frame it was written in."""
    for frame in TABLE["frames"]:
        pattern = re.escape(frame).replace(r"\{first\}", "(.*)").replace(r"\{second\}", "(.*)")
        if match := re.fullmatch(pattern, passage.text):
            return [group.split(", ") for group in match.groups()]
    raise AssertionError(passage.text)


def meaning(question):
    """Return (kind, relation or place, thing) of a question, from the sentence it was built on."""
    for a, b in TABLE["pairs"]:
        for kind in ("compare", "name"):
            for relation, sentences in TABLE[kind].items():
                for sentence in sentences:
                    pattern = re.escape(sentence).replace(r"\{a\}", a).replace(r"\{b\}", b)
                    if match := re.fullmatch(pattern.replace(r"\{x\}", "(?:(.+?))"), question):
                        return kind, relation, next(iter(match.groups()), None)
        for sentence in TABLE["one"]:
            for k, place in enumerate((a, b)):
                pattern = re.escape(sentence).replace(r"\{b\}", place)
                if match := re.fullmatch(pattern.replace(r"\{x\}", "(.+?)"), question):
                    return "one", k, match.group(1)
    raise AssertionError(question)


def test_every_answer_is_true_of_its_lists(passages):
    kinds = Counter()
    for passage in passages:
        lists = lists_of(passage)
        for question, answer in passage.turns:
            kind, what, thing = meaning(question)
            kinds[kind] += 1
            if kind == "one":
                assert answer == (YES if thing in lists[what] else NO)
            elif kind == "compare":
                where = tuple(thing in items for items in lists)
                assert answer == (YES if where == TRUE_OF[what] else NO)
            else:
                named = {
                    x
                    for x in sum(lists, [])
                    if tuple(x in items for items in lists) == TRUE_OF[what]
                }
                assert set(answer.split("; ")) == (named or {NONE})
    assert min(kinds[k] for k in ("one", "compare", "name")) > 100


def test_a_comparison_is_answered_yes_half_the_time_whatever_it_asks(passages):
    said = {relation: [] for relation in TRUE_OF}
    for passage in passages:
        for question, answer in passage.turns:
            kind, relation, _ = meaning(question)
            if kind == "compare":
                said[relation].append(answer == YES)
    assert all(0.35 < sum(s) / len(s) < 0.65 for s in said.values())


def test_a_seed_draws_the_same_passages_and_another_seed_others(passages):
    assert toy_passages(5, seed=0) == passages[:5] != toy_passages(5, seed=1)


def plain(text):
    for name, letter in zip(("first", "previous", "second", "recent"), "aabb", strict=True):
        text = re.sub(f"the {name} ECG", f"{{{letter}}}", text, flags=re.IGNORECASE)
    text = text.replace("{finding}", "{x}").lower()
    return tuple(re.findall(r"\w+", text))


def test_no_sentence_is_a_wording_with_another_noun_but_all_their_verbs_occur():
    sentences = [
        s for group in (TABLE["compare"], TABLE["name"]) for part in group.values() for s in part
    ]
    asked = {plain(wording) for t in COMPARING for wording in t.wordings.all()}
    assert not {plain(s) for s in sentences} & asked
    met = {word for s in sentences for word in plain(s)}
    frame = {"set", "against", "going", "from", "finding", "which", "every", "does", "each"}
    verbs = {w for t in COMPARING for s in (*t.wordings.dev, *t.wordings.test) for w in plain(s)}
    assert verbs - met <= frame, verbs - met - frame
