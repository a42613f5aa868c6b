"""Questions about a cohort's written reports, for training and testing the tiny LLM."""

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

_PAIRS_AMONG = 300  # ECGs per split from which comparisons of different patients are drawn
_ASKED_OF_EACH = 2  # yes/no questions about each of the two ECGs of a comparison
_IRRELEVANT = ("irrelevant-verify", "irrelevant-query")  # comparisons of different patients
_THIS_ECG = re.compile(r"(this|the) (ECG|recording|electrocardiogram|tracing)")


@dataclass(frozen=True, eq=False)
class ReportQuestions:
    """Source of question rows about written reports, with new questions and ECGs in every pass.

    Parameters
    ----------
    records : DataFrame
        `EcgStore.records` of the cohort.
    templates : tuple of int
        Ids of ECG-QA templates; empty means all.
    per_answer : int
        Reports per yes/no question and answer.
    prompt : str
        The question of Table 4, with the placeholder "{label}".
    paraphrased : float
        Share of the questions that are paraphrased with `paraphrases.yaml`.
    seed : int
        The same seed draws the same rows.
    """

    records: pd.DataFrame
    templates: tuple[int, ...]
    per_answer: int
    prompt: str
    paraphrased: float
    seed: int

    def of_split(self, split: str, number: int = 0) -> pd.DataFrame:
        """Draw questions in the wordings of a split, with as many yes as no answers.

        The balance keeps the model from learning a shortcut. Comparisons of different patients use
        few ECGs, so that many questions share a pair of reports and one packed row. Each pass
        `number` has different questions, patients and pairs.
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
        """Draw the question rows of a training pass.

        They are the train questions, a share of them paraphrased, the labels of Table 4, and
        questions about one of two ECGs. Half of the rows are kept. They are sampled so that a
        template with four times the rows of another is practised twice as often.
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
    """Draw question rows about each label of Table 4: up to `n` ECGs with it and `n` without."""
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
    """Turn yes/no questions about one ECG into questions about one of two ECGs.

    A model must answer these before it can compare.

    Parameters
    ----------
    rows : DataFrame
        Question rows about one ECG and about two.
    n : int
        Questions about each of the two ECGs of every comparison.
    seed : int
        Seed of all random draws.
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
