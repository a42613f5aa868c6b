"""Questions about a cohort's written reports: what the tiny LLM practises, and is tested with."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_lib.knowledge.zero_shot_labels import LABEL_TEXT, zero_shot_targets
from ecg_lib.questions.build import build_questions
from ecg_lib.questions.templates import load_templates
from ecg_lib.questions.worlds import find_world
from ecg_lib.tiny_llm.paraphrases import paraphrase
from ecg_lib.tiny_llm.synthetic_reports import PLACES

_PAIRS_AMONG = 300  # ECGs per split among which different patients are compared
_ASKED_OF_EACH = 2  # yes/no questions about each of the two ECGs of a comparison
_IRRELEVANT = ("irrelevant-verify", "irrelevant-query")  # comparisons of different patients
_THIS_ECG = re.compile(r"(this|the) (ECG|recording|electrocardiogram|tracing)")


@dataclass(frozen=True, eq=False)
class ReportQuestions:
    """Draws question rows about written reports; every pass has other questions and ECGs.

    Parameters
    ----------
    records : `EcgStore.records` of the cohort
    templates : ids of ECG-QA's templates; empty means all
    per_answer : reports that a yes/no question is asked of, for each of its answers
    prompt : the question of Table 4, with a place for the "{label}"
    paraphrased : share of the questions that are asked in words of `paraphrases.yaml`
    seed : the same seed draws the same rows
    """

    records: pd.DataFrame
    templates: tuple[int, ...]
    per_answer: int
    prompt: str
    paraphrased: float
    seed: int

    def of_split(self, split: str, number: int = 0) -> pd.DataFrame:
        """Questions in the wordings of a split, as many yes as no: reading must teach no shortcut.

        Different patients are compared among few, so that many questions share a pair of reports
        and are read at once. Another pass `number` has other questions, patients and pairs.
        """
        known, seed = load_templates(), self._seed(number)
        asked = self.templates or list(known)
        mixed = [t for t in asked if known[t].question_type.endswith(_IRRELEVANT)]
        few = self.records.sample(frac=1, random_state=seed).groupby("split").head(_PAIRS_AMONG)
        even = find_world("nature", 0.0)  # as many yes as no
        sizes = even.sizes(self.per_answer)
        parts = [
            build_questions(records, sizes, even, seed, chosen)[split]
            for records, chosen in ((self.records, sorted(set(asked) - set(mixed))), (few, mixed))
            if chosen
        ]
        return pd.concat(parts, ignore_index=True)

    def __call__(self, number: int) -> pd.DataFrame:
        """Question rows of a training pass.

        They are the train questions, a share of them paraphrased, the labels of Table 4, and
        questions about one of two ECGs. Half of the rows are kept: a template with four times the
        rows of another is practised twice as often.
        """
        rows, seed = self.of_split("train", number), self._seed(number)
        rng, known = np.random.default_rng(seed), load_templates()
        asked = {q.id: q for t in self.templates or known for q in known[t].questions()}
        rows["question"] = [
            (rng.random() < self.paraphrased and paraphrase(asked[question], rng)) or text
            for question, text in zip(rows["question_id"], rows["question"], strict=True)
        ]
        train = self.records[self.records["split"] == "train"]
        labels = label_rows(train, self.per_answer, seed, self.prompt)
        rows = pd.concat([rows, labels], ignore_index=True)
        rows = pd.concat([rows, placed_rows(rows, _ASKED_OF_EACH, seed)], ignore_index=True)
        often = rows["template_id"].map(rows["template_id"].value_counts())
        return rows.sample(-(-len(rows) // 2), weights=often**-0.5, random_state=seed)

    def _seed(self, number: int) -> int:
        return self.seed + 1 + 1000 * number


def label_rows(records: pd.DataFrame, n: int, seed: int, prompt: str) -> pd.DataFrame:
    """Question rows about each label of Table 4: up to `n` ECGs that have it and `n` without."""
    targets = zero_shot_targets(records).fillna(False).astype(bool)
    rows = []
    for number, label in enumerate(targets):
        for answer, hit in (("yes", targets[label]), ("no", ~targets[label])):
            few = records[hit].sample(min(n, int(hit.sum())), random_state=seed)
            rows += [
                {
                    "template_id": 1,
                    "question_id": number,
                    "question_type": "single-verify",
                    "question": prompt.format(label=LABEL_TEXT[label]),
                    "answer": [answer],
                    "ecg_id": [e],
                }
                for e in few["ecg_id"]
            ]
    return pd.DataFrame(rows)


def placed_rows(rows: pd.DataFrame, n: int, seed: int) -> pd.DataFrame:
    """Yes/no questions about one ECG, asked about one of two: what comparing is made of.

    Parameters
    ----------
    rows : question rows about one ECG and about two
    n : questions about each of the two ECGs of every comparison
    """
    rng, single = np.random.default_rng(seed), rows[rows["question_type"] == "single-verify"]
    asked = dict(iter(single.groupby(single["ecg_id"].str[0])))
    pairs = dict.fromkeys(tuple(e) for e in rows["ecg_id"] if len(e) == 2)
    placed = []
    for pair in pairs:
        for k, ecg in enumerate(pair):
            for i in rng.integers(len(asked[ecg]), size=n) if ecg in asked else ():
                row = asked[ecg].iloc[i]
                place = PLACES[rng.integers(len(PLACES))][k]
                text = _THIS_ECG.sub(place, row["question"])
                if text == row["question"]:
                    text = f"In {place}: {text}"
                changes = {"question": text, "question_type": "comparison_irrelevant-verify"}
                placed.append({**row, **changes, "ecg_id": list(pair)})
    return pd.DataFrame(placed, columns=rows.columns)
