"""Readers who see no ECG, or one bit of it: what an accuracy or a drop must be measured against.

Each learns on the training rows and answers any rows. The bit is whether the ECG *that the row
names* is normal: where the ECG is replaced by a donor's, the reader sees the donor's. So anchors go
through the random-ECG test as the arms do, and their drops come from the same function.

constant        the commonest answer to the question's type
question        the commonest answer to the question, in any wording
ill             yes where severity makes yes likelier than it is on the whole, otherwise no
question + ill  the commonest answer to the question among ECGs of this severity
perfect         the true answer about the ECG that is shown

Nobody is left without an answer: who does not know the ECG (a flat line is neither ill nor well)
falls back on the question, and who does not know the question on its type.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecg_lib.questions.bias import severity_of
from ecg_lib.questions.debias import yes_or_no
from ecg_lib.questions.schema import template_key
from ecg_lib.questions.true_answers import true_answers
from ecg_lib.questions.vocabulary import NO, YES, answer_text

CONSTANT, QUESTION, ILL, BOTH, PERFECT = ANCHORS = (
    "constant",
    "question",
    "ill",
    "question + ill",
    "perfect",
)
_TYPE, _KEY, _SEVERITY = "type", "key", "severity"


@dataclass(frozen=True, eq=False)
class Anchors:
    """Readers that have learned; `Anchors.learn` makes them."""

    records: pd.DataFrame  # ecg_id, normal, labels, attributes
    commonest: dict[tuple[str, ...], pd.Series]  # columns -> answer by their values
    says_yes: pd.Series  # (type, severity) -> whether the reader of illness says yes

    @classmethod
    def learn(cls, train: pd.DataFrame, records: pd.DataFrame) -> Anchors:
        """Learn from training rows.

        Parameters
        ----------
        train : question rows
        records : ecg_id, normal (bool), labels and attributes (dicts), one row per ECG: those of
            the training rows and all that are asked about later
        """
        known = _described(train, records).assign(text=train["answer"].map(answer_text))
        groups = ([_TYPE], [_KEY, _TYPE], [_KEY, _TYPE, _SEVERITY], [_TYPE, _SEVERITY])
        commonest = {
            tuple(columns): known.groupby(columns)["text"].agg(lambda text: text.mode().iloc[0])
            for columns in groups
        }
        closed = known.join(yes_or_no(train)[["yes"]], how="inner")
        share = closed.groupby([_TYPE, _SEVERITY])["yes"].mean()
        whole = closed.groupby(_TYPE)["yes"].mean()
        above = share > whole.reindex(share.index.get_level_values(_TYPE)).to_numpy()
        return cls(records, commonest, above)

    def answer(self, rows: pd.DataFrame) -> dict[str, pd.Series]:
        """What each anchor says to question rows: title -> texts, indexed as `rows`.

        An ecg_id that `records` lack is an ECG that tells nothing.
        """
        asked = _described(rows, self.records)
        constant = self._say(asked, (_TYPE,)).fillna("")
        question = self._say(asked, (_KEY, _TYPE)).fillna(constant)
        seen = asked[_SEVERITY].notna()
        told = self._say(asked, (_KEY, _TYPE, _SEVERITY)).where(seen).fillna(question)
        known = true_answers(rows, self.records).fillna(question)
        said = {
            CONSTANT: constant,
            QUESTION: question,
            ILL: self._ill(asked).fillna(constant),
            BOTH: told,
            PERFECT: known,
        }
        return {title: texts.astype(object).rename("prediction") for title, texts in said.items()}

    def _say(self, asked: pd.DataFrame, columns: tuple[str, ...]) -> pd.Series:
        """The commonest answer of each row's group in training, NaN where it has none."""
        return _looked_up(self.commonest[columns], asked[list(columns)])

    def _ill(self, asked: pd.DataFrame) -> pd.Series:
        columns = (_TYPE, _SEVERITY)
        yes = _looked_up(self.says_yes, asked[list(columns)])
        words = yes.map({True: YES, False: NO}).astype(object)
        other = self._say(asked, columns).where(asked[_SEVERITY].notna())  # no yes/no question
        return words.where(words.notna(), other)


def _described(rows: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """type, key and severity of rows; of two ECGs "normal then abnormal", NaN where one is unknown.

    A wording never changes the key, so these readers need no words.
    """
    severity = severity_of(rows, records.set_index("ecg_id")["normal"]).astype(object)
    unknown = severity.str.contains("unknown")
    return pd.DataFrame(
        {
            _TYPE: rows["question_type"],
            _KEY: template_key(rows),
            _SEVERITY: severity.mask(unknown.astype(bool), np.nan),
        }
    )


def _looked_up(table: pd.Series, keys: pd.DataFrame) -> pd.Series:
    """Values of `table` by the rows of `keys`, NaN where it has none."""
    if keys.shape[1] == 1:
        return keys.iloc[:, 0].map(table)
    wanted = pd.MultiIndex.from_frame(keys)
    return pd.Series(table.reindex(wanted).to_numpy(), index=keys.index, dtype=object)
