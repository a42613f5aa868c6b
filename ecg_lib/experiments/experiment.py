"""One run of a profile: its configuration, where its files lie, and how its results are written.

A notebook opens it once and hands it to every step. Steps that train live in the other files of
this room, so that a notebook which trains nothing depends on no training code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch
from IPython import get_ipython
from matplotlib.figure import Figure

from ecg_lib import paths
from ecg_lib.config import Cohort, Config, load_config
from ecg_lib.data.store import EcgStore, folder_name
from ecg_lib.questions.schema import read_split, sample_rows
from ecg_lib.report import style, tables
from ecg_lib.report.provenance import Provenance
from ecg_lib.report.reference import paper_table


@dataclass(frozen=True)
class Experiment:
    """A profile and its folders.

    Parameters
    ----------
    config : the profile
    home : where what it trains lies; by default `checkpoints/<profile>`
    notebook : that its results are stamped with, by its path below notebooks/ without suffix
    """

    config: Config
    home: Path = Path()
    notebook: str = ""

    @classmethod
    def of(cls, config: Config, notebook: str = "") -> Self:
        """The run of a configuration, with its checkpoints in the profile's folder."""
        return cls(config, paths.checkpoints_dir(config.profile), notebook)

    @classmethod
    def open(cls, params: str | Path = paths.PARAMS, notebook: str = "") -> Self:
        """Read a composed profile; set seeds, threads and pictures. Once, at a notebook's top."""
        run = cls.of(load_config(params), notebook)
        shell = get_ipython()
        if shell is not None:  # figures made without pyplot are shown once the backend is there
            shell.run_line_magic("matplotlib", "inline")
        torch.manual_seed(run.config.seed)
        if run.config.threads:
            torch.set_num_threads(run.config.threads)
        return run

    # -- places ------------------------------------------------------------------------------

    def checkpoints(self, *parts: str) -> Path:
        """A folder of trained models or caches."""
        return self.home.joinpath(*parts)

    def below(self, *parts: str, config: Config | None = None) -> Self:
        """The same run, or a varied one, whose checkpoints lie in a folder of this one's."""
        return replace(self, config=config or self.config, home=self.checkpoints(*parts))

    def data(self, *parts: str) -> Path:
        """A folder or file of prepared data."""
        return paths.data_dir(self.config.profile).joinpath(*parts)

    @property
    def results(self) -> Path:
        """The folder of the profile's tables."""
        return paths.results_dir(self.config.profile)

    # -- data --------------------------------------------------------------------------------

    def store_folder(self, cohort: Cohort) -> Path:
        """Where a cohort's prepared store lies."""
        return self.data("cohorts", folder_name(cohort.folder, self.config.signal.rate))

    def open_store(self, cohort: Cohort) -> EcgStore:
        """A prepared cohort, as notebook 01 left it."""
        return EcgStore.open(self.store_folder(cohort))

    @cached_property
    def store(self) -> EcgStore:
        """The ECGs that questions are asked about."""
        return self.open_store(self.config.data.questions)

    @property
    def normal(self) -> pd.Series:
        """Whether each of them is normal, bool by ecg_id."""
        return self.store.records.set_index("ecg_id")["normal"]

    @property
    def patients(self) -> pd.Series:
        """Whose each of them is, patient_id by ecg_id."""
        return self.store.records.set_index("ecg_id")["patient_id"]

    def question_rows(self, split: str) -> pd.DataFrame:
        """Question rows of a split, as notebook 03 left them."""
        return read_split(self.data("questions"), split)

    def has_questions(self, split: str) -> bool:
        """Whether a split has rows: ECG-QA has no dev, and a part of it may lack valid."""
        return self.data("questions", f"{split}.parquet").is_file() and bool(
            len(self.question_rows(split))
        )

    def test_rows(self) -> pd.DataFrame:
        """The rows that Tables 3 and 5 are computed on: the test split, or a sample of it."""
        most = self.config.evaluation.max_rows
        return sample_rows(self.question_rows("test"), most, self.config.seed)

    # -- results -----------------------------------------------------------------------------

    def provenance(
        self, stores: Iterable[EcgStore] | None = None, seeds: Iterable[int] | None = None
    ) -> Provenance:
        """The stamp of result rows: data, seeds, and parameters and code of the notebook.

        Where the data lie and how many processes read them is no part of it.
        """
        values: dict[str, Any] = self.config.as_dict()
        values["data"].pop("root"), values["data"].pop("workers")
        hashes = [store.hash for store in ([self.store] if stores is None else stores)]
        seeds = self.config.seed if seeds is None else seeds
        return Provenance.of(self.config.profile, values, hashes, seeds, self.notebook)

    def table(
        self,
        name: str,
        cells: pd.DataFrame | Iterable[Mapping[str, Any]],
        title: str,
        note: str = "",
        *,
        published: str = "",
        stores: Iterable[EcgStore] | None = None,
        seeds: Iterable[int] | None = None,
        digits: int | None = 1,
    ) -> pd.DataFrame:
        """Write `results/<profile>/<name>.csv` and `.md`; return their rows.

        Parameters
        ----------
        cells : row, column, value and, where there are, n, ci_low and ci_high
        published : the paper's table set below ours, by its name in `report/reference.py`
        stores : the data the numbers are of; by default `store`
        seeds : those the numbers are a mean over; by default the profile's
        digits : decimals of the Markdown; None: as short as the numbers are
        """
        frame = tables.tidy(name, cells, self.provenance(stores, seeds))
        if published:
            frame = pd.concat([frame, paper_table(published)], ignore_index=True)
        tables.write_table(name, frame, self.results, title, self.config.label, note, digits)
        return frame

    def figure(self, figure: Figure, name: str) -> Figure:
        """Write `figures/<profile>/<name>.png` and return the figure."""
        style.save(figure, paths.figures_dir(self.config.profile), name)
        return figure
