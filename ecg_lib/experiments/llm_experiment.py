"""A run with the parts of every ECG-LLM: pretrained encoder, its tokens and the language model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from ecg_lib.config import Cohort, Config
from ecg_lib.ecg_llm.llm_names import find_llm
from ecg_lib.encoders.token_cache import EcgTokens
from ecg_lib.experiments.experiment import Experiment
from ecg_lib.experiments.kept_tokens import encode_safely
from ecg_lib.objectives.loading import load_clip
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.sealed import checked


@dataclass(frozen=True)
class LlmExperiment(Experiment):
    """An `Experiment` whose encoder and language model may lie in another run's checkpoints.

    Parameters
    ----------
    encoder_home, llm_home : Path, optional
        Folders of checkpoints that hold encoder and language model; by default `home`.
    """

    encoder_home: Path | None = None
    llm_home: Path | None = None

    def below(self, *parts: str, config: Config | None = None) -> Self:
        """Return the run of `Experiment.below` with this run's encoder and language model."""
        return replace(
            super().below(*parts, config=config),
            encoder_home=self.encoder_home or self.home,
            llm_home=self.llm_home or self.home,
        )

    @cached_property
    def _clip(self) -> tuple[EcgClip, object]:
        return load_clip((self.encoder_home or self.home) / "encoder" / "clip")

    @property
    def clip(self) -> EcgClip:
        """The pretrained encoder with its text encoder, from notebook 02."""
        return self._clip[0]

    @property
    def report_tokenizer(self) -> object:
        """The tokenizer of the text encoder."""
        return self._clip[1]

    def encode(self, cohort: Cohort) -> EcgTokens:
        """Return the tokens of every ECG of a cohort, encoded once and then cached."""
        folder = (self.encoder_home or self.home) / "features" / cohort.folder
        return encode_safely(self.open_store(cohort), self.clip.ecg_encoder, folder)

    @cached_property
    def tokens(self) -> EcgTokens:
        """Tokens of the ECGs that questions are asked about."""
        return self.encode(self.config.data.questions)

    @property
    def llm(self) -> Path | str:
        """The language model that the profile names, or the one that notebook 04 trained."""
        folder, settings = (self.llm_home or self.home) / "language_model", self.config.llm
        if settings.practised:
            return checked(practised_folder(folder), "train it again")
        if not settings.name_or_path:
            return checked(folder / "tiny", "train it again")
        name = find_llm(settings.name_or_path)
        if Path(name).is_dir():
            checked(name, "fetch it again, or delete its seal.json if you changed it on purpose")
        return name


def practised_folder(folder: Path) -> Path:
    """Return the place of a named language model after its reading practice."""
    return folder / "practised"
