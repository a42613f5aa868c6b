"""Load and check the question templates in templates.yaml beside this file.

A new question needs new YAML only. A template says what is asked (`ask`) about which set of things
known about an ECG (`facet`), and refers to eleven wordings by name. `ecg_lib.questions.facets`
computes the answers.
"""

import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations, product
from pathlib import Path

import yaml

from ecg_lib.errors import DataError
from ecg_lib.knowledge.findings import load_findings
from ecg_lib.questions.schema import ATTRIBUTE_TYPES, SHORT_NAMES
from ecg_lib.questions.vocabulary import NONE, REGIONS, answers_in

KINDS = ("broad", "specific", "noise", "other")
PLACEHOLDERS = frozenset({"finding", "a", "b", "feature", "range", "lead", "topic", "old", "new"})
ASKS = {
    "verify": {"present", "any", "removed", "new", "still", "absent"},
    "choose": {"choose"},
    "query": {"query", "removed", "new", "still"},
}
N_TRAIN, N_TEST = 6, 3
_FILE = Path(__file__).parent / "templates.yaml"
# Leads belong in placeholders, because `template_key` reads them from the text to group rows.
_RESERVED = {
    "I",
    "II",
    "III",
    "aVR",
    "aVL",
    "aVF",
    "V1",
    "V2",
    "V3",
    "V4",
    "V5",
    "V6",
    "limb",
    "chest",
}


@dataclass(frozen=True)
class Wordings:
    """One question in eleven wordings: 7 `train` (the plain sentence first), 1 `dev`, 3 `test`."""

    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The plain sentence."""
        return self.train[0]

    def all(self) -> tuple[str, ...]:
        """Return all eleven wordings."""
        return (*self.train, *self.dev, *self.test)


@dataclass(frozen=True)
class Template:
    """One of ECG-QA's templates; the constants of `fill` are already in its `wordings`."""

    id: int
    question_type: str
    attribute_type: str
    kind: str
    ask: str
    facet: str
    wordings: Wordings
    wording: str = ""  # name of its wordings in the YAML
    options: dict[str, tuple[str, ...]] = field(default_factory=dict)
    item: str = "{finding}"
    fill: dict[str, str] = field(default_factory=dict)
    unsure: str | None = None
    hard: str | None = None
    empty: str = NONE

    @property
    def form(self) -> str:
        """`verify`, `choose` or `query`."""
        return self.question_type.rsplit("-", 1)[1]

    @property
    def two_ecgs(self) -> bool:
        """Whether the question compares two ECGs."""
        return self.question_type.startswith("comparison")

    def questions(self) -> list["Question"]:
        """Return every template question, numbered `1000 * id + position` whatever the data."""
        pairs: list[dict[str, str]] = [{}]
        rest = self.options
        if self.form == "choose":
            pairs = [{"a": a, "b": b} for a, b in combinations(self.options["a"], 2)]
            rest = {key: values for key, values in rest.items() if key not in ("a", "b")}
        combos = [
            pair | dict(zip(rest, values, strict=True))
            for values in product(*rest.values())
            for pair in pairs
        ]
        return [Question(self, 1000 * self.id + i, combo) for i, combo in enumerate(combos)]


@dataclass(frozen=True)
class Question:
    """A template with `values` for its placeholders; asked about many ECGs in many wordings."""

    template: Template
    id: int
    values: dict[str, str]

    def text(self, wording: str, swap: bool = False) -> str:
        """Fill the values into a wording; `swap` exchanges the options of a choose question."""
        values = dict(self.values)
        if swap:
            values["a"], values["b"] = values["b"], values["a"]
        fill = {key: text.format(**values) for key, text in self.template.fill.items()}
        return wording.format(**(fill | values))

    def attribute(self, swap: bool = False) -> list[str] | None:
        """Return ECG-QA's column `attribute`: what is asked about; None in comparisons.

        A choose question names its two options. If they are ranges, the feature is added: "above
        the normal range of qt interval".
        """
        if self.template.two_ecgs:
            return None
        if self.template.form == "choose":
            tail = f" of {self.values['feature']}" if "feature" in self.values else ""
            options = [self.values[key] + tail for key in ("a", "b")]
            return options[::-1] if swap else options
        return list(self.values.values()) or [self.template.fill.get("topic", self.template.facet)]

    def bind(self, pattern: str) -> str:
        """Fill this question's values into the pattern of a facet or item."""
        fill = {key: text.format(**self.values) for key, text in self.template.fill.items()}
        return pattern.format(**(fill | self.values))


def placeholders(text: str) -> set[str]:
    """Return the names in braces: "Is {finding} there?" -> {"finding"}."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


class _Partial(dict):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _read_wordings(name: str, entry: dict, path: Path) -> Wordings:
    where = f"{path.name}: wordings {name!r}"
    unknown = set(entry) ^ {"template", "train", "dev", "test"}
    if unknown:
        raise DataError(
            f"{where}: give exactly template, train, dev and test; add or remove {sorted(unknown)}"
        )
    if len(entry["train"]) != N_TRAIN or len(entry["test"]) != N_TEST:
        raise DataError(
            f"{where}: need {N_TRAIN} train and {N_TEST} test sentences, found "
            f"{len(entry['train'])} and {len(entry['test'])}"
        )
    wordings = Wordings((entry["template"], *entry["train"]), (entry["dev"],), tuple(entry["test"]))
    for text in wordings.all():
        if placeholders(text) - PLACEHOLDERS:
            raise DataError(
                f"{where}: unknown placeholder in {text!r}; use only "
                f"{', '.join(sorted(PLACEHOLDERS))}"
            )
        if placeholders(text) != placeholders(wordings.sentence):
            raise DataError(
                f"{where}: {text!r} has other placeholders than the template sentence; "
                "use the same ones"
            )
        if _RESERVED & set(text.replace("?", " ").replace(",", " ").split()) - {"I"}:
            raise DataError(f"{where}: {text!r} names a lead directly; use {{lead}} instead")
    if len({t.casefold() for t in wordings.all()}) != len(wordings.all()):
        raise DataError(f"{where}: a sentence occurs twice; train, dev and test must be disjoint")
    return wordings


def _read_template(entry: dict, wordings: dict[str, Wordings], path: Path) -> Template:
    where = f"{path.name}: template {entry.get('id', '(no id)')}"
    entry = dict(entry)
    name = entry.get("wording")
    if name not in wordings:
        raise DataError(f"{where}: unknown wording {name!r}; add it under wordings")
    fill = entry.get("fill", {})
    constant = _Partial({k: v for k, v in fill.items() if not placeholders(v)})
    entry["wordings"] = Wordings(
        *(
            tuple(text.format_map(constant) for text in part)
            for part in (wordings[name].train, wordings[name].dev, wordings[name].test)
        )
    )
    entry["options"] = {
        key: _options(groups, where) for key, groups in entry.get("options", {}).items()
    }
    try:
        template = Template(**entry)
    except TypeError as error:
        raise DataError(
            f"{where}: {str(error).split(') ', 1)[-1]}; see the comments at the top of the file"
        ) from None
    for field_name, value, allowed in (
        ("question_type", template.question_type, SHORT_NAMES),
        ("attribute_type", template.attribute_type, ATTRIBUTE_TYPES),
        ("kind", template.kind, KINDS),
    ):
        if value not in allowed:
            raise DataError(
                f"{where}: {field_name} {value!r} is unknown; use one of {', '.join(allowed)}"
            )
    if template.ask not in ASKS[template.form]:
        raise DataError(
            f"{where}: ask {template.ask!r} does not go with {template.question_type}; use "
            f"one of {', '.join(sorted(ASKS[template.form]))}"
        )
    unbound = placeholders(template.wordings.sentence) - set(template.options) - set(fill)
    if unbound:
        raise DataError(
            f"{where}: nothing fills {{{sorted(unbound)[0]}}}; add it to options or fill"
        )
    return template


def _options(groups: list[str], where: str) -> tuple[str, ...]:
    if groups == ["findings"]:
        findings = load_findings()
        return tuple(findings.loc[findings.index != "NORM", "name"])
    answers = answers_in(*groups) + (tuple(REGIONS) if "region" in groups else ())
    if not answers:
        raise DataError(f"{where}: answers.csv has none of the groups {groups}; use its groups")
    return answers


def _check_disjoint(templates: Iterable[Template], path: Path) -> None:
    """Check that no test or dev sentence is a train sentence of any template."""
    trained = {text.casefold(): t.id for t in templates for text in t.wordings.train}
    for template in templates:
        for text in (*template.wordings.dev, *template.wordings.test):
            if text.casefold() in trained:
                raise DataError(
                    f"{path.name}: template {template.id}: test or dev sentence {text!r} is "
                    f"a train sentence of template {trained[text.casefold()]}; reword one of them"
                )


def _check_distinct(templates: Iterable[Template], path: Path) -> None:
    """Check that no two questions have the same text, whatever fills their placeholders."""
    owner: dict[str, int] = {}
    for template in templates:
        swaps = (False, True) if template.form == "choose" else (False,)
        for question in template.questions():
            for wording in template.wordings.all():
                for swap in swaps:
                    text = question.text(wording, swap).casefold()
                    if owner.setdefault(text, question.id) != question.id:
                        raise DataError(
                            f"{path.name}: template {template.id} asks {text!r}, as does "
                            f"template {owner[text] // 1000}; reword one of them"
                        )


@lru_cache(maxsize=4)
def load_templates(path: Path | str = _FILE) -> dict[int, Template]:
    """Load the templates, keyed by ECG-QA's id.

    Raises
    ------
    DataError
        A wording or template is malformed, train, dev and test wordings overlap, or two questions
        have the same text; the message names it.
    """
    path = Path(path)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    wordings = {
        name: _read_wordings(name, entry, path) for name, entry in content["wordings"].items()
    }
    templates = [_read_template(entry, wordings, path) for entry in content["templates"]]
    ids = [t.id for t in templates]
    repeated = {i for i in ids if ids.count(i) > 1}
    if repeated:
        raise DataError(
            f"{path.name}: template {min(repeated)} is defined twice; remove or renumber one"
        )
    _check_disjoint(templates, path)
    _check_distinct(templates, path)
    return {t.id: t for t in templates}
