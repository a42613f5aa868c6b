"""Anchors: simple readers against which accuracies and drops of the arms are measured.

Each anchor learns from the training rows and can answer any rows. Two anchors see one bit of the
ECG: whether the ECG *that the row names* is normal. If that ECG is replaced by a donor's, they see
the donor's bit. Anchors therefore go through the random-ECG test as the arms do, and the same
function computes their drops.

constant        the most common answer to questions of this type
question        the most common answer to this question, in any wording
ill             yes if yes is more likely at this severity than overall, otherwise no
question + ill  the most common answer to this question among ECGs of this severity
perfect         the true answer about the ECG that is shown

Every anchor gives an answer to every row. An anchor falls back on the question if it cannot tell
whether the ECG is normal (a flat line is neither), and on the question's type if the question did
not occur in training.
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
    """The fitted anchors; `Anchors.learn` makes them."""

    records: pd.DataFrame  # ecg_id, normal, labels, attributes
    commonest: dict[tuple[str, ...], pd.Series]  # columns -> most common answer by their values
    says_yes: pd.Series  # (type, severity) -> whether the anchor "ill" says yes

    @classmethod
    def learn(cls, train: pd.DataFrame, records: pd.DataFrame) -> Anchors:
        """Learn from training rows.

        Parameters
        ----------
        train : DataFrame
            Question rows.
        records : DataFrame
            ecg_id, normal (bool), labels and attributes (dicts), one row per ECG: the ECGs of the
            training rows and all ECGs that are asked about later.
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
        """Return each anchor's answers to question rows: title -> texts, indexed as `rows`.

        An ecg_id that is not in `records` counts as an ECG of unknown severity.
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
        """Return the most common training answer of each row's group, NaN for an unseen group."""
        return _looked_up(self.commonest[columns], asked[list(columns)])

    def _ill(self, asked: pd.DataFrame) -> pd.Series:
        columns = (_TYPE, _SEVERITY)
        yes = _looked_up(self.says_yes, asked[list(columns)])
        words = yes.map({True: YES, False: NO}).astype(object)
        # questions that are not yes/no: the most common answer at this severity
        other = self._say(asked, columns).where(asked[_SEVERITY].notna())
        return words.where(words.notna(), other)


def _described(rows: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """Return the type, key and severity of question rows.

    The severity of two ECGs reads e.g. "normal then abnormal"; it is NaN if one of them is unknown.
    All wordings of a question have the same key, so the anchors need not read its words.
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
    """Look up the rows of `keys` in `table`; NaN where it has no value."""
    if keys.shape[1] == 1:
        return keys.iloc[:, 0].map(table)
    wanted = pd.MultiIndex.from_frame(keys)
    return pd.Series(table.reindex(wanted).to_numpy(), index=keys.index, dtype=object)
