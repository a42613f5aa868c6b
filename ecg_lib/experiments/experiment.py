"""One run of a profile: its configuration, its folders, and the tables and figures it writes.

A notebook opens a run once and passes it to every step. Steps that train are in the other files of
this package, so that a notebook that trains nothing depends on no training code.
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
from ecg_lib.data.write_store import open_whole
from ecg_lib.questions.schema import read_split, sample_rows
from ecg_lib.report import style, tables
from ecg_lib.report.provenance import Provenance
from ecg_lib.report.reference import paper_table
from ecg_lib.sealed import checked


@dataclass(frozen=True)
class Experiment:
    """A profile and its folders.

    Parameters
    ----------
    config : Config
        The profile.
    home : Path
        Folder of everything it trains; `of` and `open` set it to `checkpoints/<profile>`.
    notebook : str
        Notebook that results are stamped with: its path below notebooks/, without suffix.
    """

    config: Config
    home: Path = Path()
    notebook: str = ""

    @classmethod
    def of(cls, config: Config, notebook: str = "") -> Self:
        """Make the run of a configuration, with its checkpoints in the profile's folder."""
        return cls(config, paths.checkpoints_dir(config.profile), notebook)

    @classmethod
    def open(cls, params: str | Path = paths.PARAMS, notebook: str = "") -> Self:
        """Read a composed profile; set seed, threads and inline figures. Call once per notebook."""
        run = cls.of(load_config(params), notebook)
        shell = get_ipython()
        if shell is not None:  # figures made without pyplot are shown only with this backend
            shell.run_line_magic("matplotlib", "inline")
        torch.manual_seed(run.config.seed)
        if run.config.threads:
            torch.set_num_threads(run.config.threads)
        return run

    # -- places ------------------------------------------------------------------------------

    def checkpoints(self, *parts: str) -> Path:
        """Return a folder of trained models or caches."""
        return self.home.joinpath(*parts)

    def below(self, *parts: str, config: Config | None = None) -> Self:
        """Return this run, or one with another configuration, with checkpoints in a subfolder."""
        return replace(self, config=config or self.config, home=self.checkpoints(*parts))

    def data(self, *parts: str) -> Path:
        """Return a folder or file of prepared data."""
        return paths.data_dir(self.config.profile).joinpath(*parts)

    @property
    def results(self) -> Path:
        """The folder of the profile's tables."""
        return paths.results_dir(self.config.profile)

    # -- data --------------------------------------------------------------------------------

    def store_folder(self, cohort: Cohort) -> Path:
        """Return the folder of a cohort's prepared store."""
        return self.data("cohorts", folder_name(cohort.folder, self.config.signal.rate))

    def open_store(self, cohort: Cohort) -> EcgStore:
        """Open a cohort that notebook 01 prepared; raise `DataError` if it was altered since."""
        return open_whole(self.store_folder(cohort), "run notebook 01 again")

    @cached_property
    def store(self) -> EcgStore:
        """The ECGs that questions are asked about."""
        return self.open_store(self.config.data.questions)

    @property
    def normal(self) -> pd.Series:
        """Whether each ECG of `store` is normal, bool by ecg_id."""
        return self.store.records.set_index("ecg_id")["normal"]

    @property
    def patients(self) -> pd.Series:
        """The patient_id of each ECG of `store`, by ecg_id."""
        return self.store.records.set_index("ecg_id")["patient_id"]

    def question_rows(self, split: str) -> pd.DataFrame:
        """Read the question rows of a split that notebook 03 wrote, and nobody altered since."""
        return read_split(checked(self.data("questions"), "run notebook 03 again"), split)

    def has_questions(self, split: str) -> bool:
        """Return whether a split has rows: ECG-QA has no dev, and a partial copy may lack valid."""
        return self.data("questions", f"{split}.parquet").is_file() and bool(
            len(self.question_rows(split))
        )

    def test_rows(self) -> pd.DataFrame:
        """Return the rows of Tables 3 and 5: the test split, or a sample of it."""
        most = self.config.evaluation.max_rows
        return sample_rows(self.question_rows("test"), most, self.config.seed)

    # -- results -----------------------------------------------------------------------------

    def provenance(
        self, stores: Iterable[EcgStore] | None = None, seeds: Iterable[int] | None = None
    ) -> Provenance:
        """Return the stamp of result rows: data, seeds, and the notebook's parameters and code.

        The location of the data and the number of processes that read them are left out.
        """
        values: dict[str, Any] = self.config.as_dict()
        values["data"].pop("root"), values["data"].pop("workers")
        hashes = [store.hash for store in ([self.store] if stores is None else stores)]
        over = self.config.seed if seeds is None else seeds
        return Provenance.of(self.config.profile, values, hashes, over, self.notebook)

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
        cells : DataFrame or iterable of mappings
            row, column, value and, where available, n, ci_low and ci_high.
        published : str
            The paper's table to append to ours, by its name in `report/reference.py`.
        stores : iterable of EcgStore, optional
            The data behind the numbers; by default `store`.
        seeds : iterable of int, optional
            Seeds that the numbers are a mean over; by default the profile's.
        digits : int, optional
            Decimals in the Markdown; None prints each number as short as possible.
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
