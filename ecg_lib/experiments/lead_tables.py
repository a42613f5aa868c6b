"""Tables of models shown fewer leads: AUC by set of leads, by group of findings, by filling.

Values are macro AUC in percent, the mean over seeds; intervals are over patients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ecg_lib.config import Config, Evaluation
from ecg_lib.evaluation.absent_leads import DROPPED
from ecg_lib.evaluation.lead_scores import COSINE
from ecg_lib.evaluation.transfer import parts_of
from ecg_lib.experiments.lead_arms import Asked
from ecg_lib.intervals import macro_auc
from ecg_lib.knowledge.findings import read_table, transfer_findings

MINUS = " minus "


def averaged() -> list[str]:
    """Return the 14 findings whose AUC is averaged, as in the study of simulated ECGs."""
    table = transfer_findings()
    return table.loc[table["reported"] == "mean", "finding"].tolist()


def groups() -> dict[str, list[str]]:
    """Return the averaged findings by what is needed to see them (finding_groups.csv).

    Any lead shows the rhythm. Conduction is in the width and form of QRS or in the PR interval.
    Voltage needs millivolts, and an infarction the leads that face the wall.
    """
    table = read_table("finding_groups.csv", ["finding", "group"])
    own = table[table["finding"].isin(averaged())]
    return {str(name): part["finding"].tolist() for name, part in own.groupby("group", sort=False)}


class Cells:
    """Computes the cells of one cohort's tables.

    Parameters
    ----------
    asked : Asked
        The answers of every model.
    config : Config
        Gives the titles of the arms, the bootstrap and the seed.
    """

    def __init__(self, asked: Asked, config: Config):
        self.asked = asked
        self.titles = {key: arm.title for key, arm in config.kmerl.arms.items()}
        self.settings: Evaluation = config.evaluation
        self.seed = config.seed
        self.parts: Mapping[str, np.ndarray] = parts_of(asked.store, asked.title)
        self.patients = asked.store.records["patient_id"].to_numpy()

    def ways(self, key: str) -> list[str]:
        """Return the ways in which an arm was scored, its own before the cosine."""
        found = {way for way, _, _ in next(iter(self.asked.scores[key].values()))}
        return sorted(found, key=lambda way: way == COSINE)

    def row(self, key: str, way: str) -> str:
        """Return the name of a row: the arm's title, and the way if it is not the arm's own."""
        return self.titles[key] + ("" if way == self.ways(key)[0] else f", by {way}")

    def value(
        self,
        part: str,
        plus: tuple[str, str, str, str],
        minus: tuple[str, str, str, str] | None = None,
        labels: Sequence[str] | None = None,
    ) -> dict:
        """Return value, interval and n of one cell, or of a difference that is paired by ECG.

        Parameters
        ----------
        part : str
            A key of `parts`.
        plus, minus : (arm, way, form, set)
        labels : sequence of str, optional
            Those to average; by default the 14. A label that a side cannot score is left out.
        """
        both = [self._scores(side) for side in (plus, minus) if side]
        kept = [
            label
            for label in labels or averaged()
            if all(np.isfinite(side[:, :, self._column(label)]).all() for side in both)
        ]
        rows, columns = self.parts[part], [self._column(label) for label in kept]
        truth = self.asked.targets[kept].iloc[rows]
        sides = [side[:, rows][:, :, columns] for side in both]
        found = macro_auc(
            truth,
            sides[0],
            sides[1] if minus else None,
            self.settings.resamples,
            self.seed,
            self.settings.min_positives,
            self.patients[rows],
        )
        return found.percent()

    def _scores(self, of: tuple[str, str, str, str]) -> np.ndarray:
        key, way, form, name = of
        seeds = self.asked.scores[key].values()
        return np.stack([own[way, form, name] for own in seeds])  # (seeds, N, labels)

    def _column(self, label: str) -> int:
        return int(self.asked.targets.columns.get_loc(label))


def _every(asked: Sequence[Asked], config: Config) -> Iterator[tuple[Cells, str, str, str]]:
    for one in asked:
        cells = Cells(one, config)
        for part in cells.parts:
            for key in config.kmerl.arms:
                for way in cells.ways(key):
                    yield cells, part, key, way


def curve_cells(asked: Sequence[Asked], config: Config) -> pd.DataFrame:
    """Return AUC by set of leads: row "<arm>", column "<cohort>, <set>"."""
    return pd.DataFrame(
        {
            "row": cells.row(key, way),
            "column": f"{part}, {name}",
            **cells.value(part, (key, way, DROPPED, name)),
        }
        for cells, part, key, way in _every(asked, config)
        for name in config.kmerl.lead_sets
    )


def group_cells(asked: Sequence[Asked], config: Config) -> pd.DataFrame:
    """Return AUC by group of findings: row "<arm>: <group>"; each arm in its own way."""
    return pd.DataFrame(
        {
            "row": f"{cells.row(key, way)}: {group}",
            "column": f"{part}, {name}",
            **cells.value(part, (key, way, DROPPED, name), labels=labels),
        }
        for cells, part, key, way in _every(asked, config)
        if way == cells.ways(key)[0]
        for group, labels in groups().items()
        for name in config.kmerl.lead_sets
    )


def fill_cells(asked: Sequence[Asked], config: Config) -> pd.DataFrame:
    """Return AUC by what stands in the place of absent leads: row "<arm>: <form>"."""
    found = []
    for cells, part, key, way in _every(asked, config):
        if way != cells.ways(key)[0]:
            continue
        scored = next(iter(cells.asked.scores[key].values()))
        for form, name in dict.fromkeys((form, name) for _, form, name in scored):
            if name in config.kmerl.fill_sets:
                value = cells.value(part, (key, way, form, name))
                row = f"{cells.row(key, way)}: {form}"
                found.append({"row": row, "column": f"{part}, {name}", **value})
    return pd.DataFrame(found)


def difference_cells(
    asked: Sequence[Asked], config: Config, pairs: Sequence[tuple[str, str]]
) -> pd.DataFrame:
    """Return differences between arms, paired by ECG and seed: row "<arm> minus <arm>".

    Parameters
    ----------
    pairs : sequence of (str, str)
        Keys of arms. A pair that the profile lacks is left out.
    """
    found = []
    for one in asked:
        cells = Cells(one, config)
        for part in cells.parts:
            for plus, minus in pairs:
                if not {plus, minus} <= set(config.kmerl.arms):
                    continue
                row = cells.titles[plus] + MINUS + cells.titles[minus]
                for name in config.kmerl.lead_sets:
                    sides = [(key, cells.ways(key)[0], DROPPED, name) for key in (plus, minus)]
                    value = cells.value(part, sides[0], sides[1])
                    found.append({"row": row, "column": f"{part}, {name}", **value})
    return pd.DataFrame(found)
