"""Mine entities with a language model: extract, verify, merge, aggregate (K-MERL, section 3.4).

Beside the verification by the model stands a check by substring: is the entity's name in the
report? Both are recorded; the verification decides.
"""

from __future__ import annotations

from collections.abc import Sequence

from ecg_lib.entities.answer_reading import read_groups, read_list, read_renaming, read_yes_no
from ecg_lib.entities.asker import Asker
from ecg_lib.entities.entity_set import EntitySet
from ecg_lib.entities.mention import ASSERTED, Mention

Checked = tuple[Mention, bool | None]  # with the model's verification; None if it was not asked


class LlmMiner:
    """A language model as a miner of what reports assert.

    Parameters
    ----------
    asker : Asker
    verify : bool
        Ask for each entity of a report whether it is there, and keep those of which the model says
        so.
    """

    def __init__(self, asker: Asker, verify: bool = True):
        self.asker, self.verify = asker, verify

    def mine(self, reports: Sequence[str]) -> list[list[Mention]]:
        """Return the entities that each report asserts; none for a report without a word."""
        return [
            [mention for mention, sure in found if sure is not False]
            for found in self.checked(reports)
        ]

    def checked(self, reports: Sequence[str]) -> list[list[Checked]]:
        """Return all extracted entities, each with its verification.

        An entity whose verification cannot be read counts as not verified.
        """
        texts = list(dict.fromkeys(report for report in reports if report.strip()))
        lists = self.asker.ask("extract", [{"report": text} for text in texts], read_list)
        names = {text: own or [] for text, own in zip(texts, lists, strict=True)}
        sure: dict[tuple[str, str], bool | None] = {}
        if self.verify:
            pairs = [(text, name) for text in texts for name in names[text]]
            fields = [{"report": text, "entity": name} for text, name in pairs]
            said = self.asker.ask("verify", fields, read_yes_no)
            sure = dict(zip(pairs, map(bool, said), strict=True))
        found = {
            text: [(_mention(text, name), sure.get((text, name))) for name in own]
            for text, own in names.items()
        }
        return [found.get(report, []) for report in reports]

    def entities(self, mentions: Sequence[Sequence[Mention]]) -> EntitySet:
        """Merge the names of some mentions and add their superclasses."""
        names = sorted({m.name for own in mentions for m in own})
        merged = merge(self.asker, names)
        entities = sorted(set(merged.values()))
        return EntitySet.of(names, merged, aggregate(self.asker, entities))


def merge(asker: Asker, names: Sequence[str]) -> dict[str, str]:
    """Ask for one name of all names that mean the same.

    A name of which the answer says nothing stays, and so do those of an answer that cannot be read.
    More names than fit into a request are merged in parts, and the results once more until they
    fit.

    Returns
    -------
    dict of str to str
        Name -> common name, for every name.
    """
    merged = {name: name for name in names}
    left = list(names)
    while left:
        parts = _parts(left, asker.prompts.names_per_call)
        answers = asker.ask("merge", [{"names": "\n".join(part)} for part in parts], read_renaming)
        new: dict[str, str] = {}
        for part, answer in zip(parts, answers, strict=True):
            new |= {name: (answer or {}).get(name, name) for name in part}
        merged = {name: _end(now, new) for name, now in merged.items()}
        after = sorted(set(merged.values()))
        left = after if len(parts) > 1 and len(after) < len(left) else []
    return merged


def aggregate(asker: Asker, names: Sequence[str]) -> dict[str, list[str]]:
    """Ask for the superclasses among some names; superclasses of the same name are joined."""
    parts = _parts(names, asker.prompts.names_per_call)
    answers = asker.ask("aggregate", [{"names": "\n".join(part)} for part in parts], read_groups)
    groups: dict[str, list[str]] = {}
    for answer in answers:
        for name, members in (answer or {}).items():
            groups.setdefault(name, []).extend(members)
    if len(parts) > 1 and groups:  # the parts may have given one superclass two names
        common = merge(asker, sorted(groups))
        joined: dict[str, list[str]] = {}
        for name, members in groups.items():
            joined.setdefault(common[name], []).extend(members)
        groups = joined
    return groups


def _parts(names: Sequence[str], most: int) -> list[Sequence[str]]:
    return [names[start : start + most] for start in range(0, len(names), most)]


def _end(name: str, renamed: dict[str, str]) -> str:
    """Follow a chain of new names; in a circle the first name in the alphabet stands for all."""
    chain = [name]
    while (name := renamed.get(name, name)) not in chain:
        chain.append(name)
    return min(chain[chain.index(name) :])


def _mention(report: str, name: str) -> Mention:
    lower = report.lower()
    at = lower.find(name) if len(lower) == len(report) else -1
    span = (at, at + len(name)) if at >= 0 else None
    return Mention(name, report[slice(*span)] if span else name, ASSERTED, span)
