"""Sections of the configuration that only studies read; a profile has none by default."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Surgery:
    """Changes to the ECG-LLM that only lesions make; the paper and the arms make none."""

    projector_layers: int = 1  # linear layers; 1 = equation 5
    train_llm: bool = False  # train all weights of the LLM, without LoRA
    train_encoder: bool = False  # also train the ECG encoder on the answers


@dataclass(frozen=True)
class Study:
    """Further training runs: learning rates, dose-response, lesions; none by default."""

    settings: list[str] = field(default_factory=list)  # FIELD=VALUE for all runs, e.g. fewer rows
    strengths: list[float] = field(default_factory=list)  # of `nature`, which draws the rows
    arms: list[str] = field(default_factory=list)  # only arms that have a training stage
    seeds: list[int] = field(default_factory=list)  # for fine-tuning, besides the profile's own
    rate_seeds: list[int] = field(default_factory=list)  # the same for both rate searches
    lesions: dict[str, list[str]] = field(default_factory=dict)  # title -> FIELD=VALUE changes
    rates: list[float] = field(default_factory=list)  # of stage 2, to try on the profile's arms
    short_rates: list[float] = field(default_factory=list)  # the same for the study's own arms
    per_answer: int = 25  # ECGs per question and answer in the interventional test
    test_rows: int | None = 1000  # rows of the random-ECG tests; null = all
    surgery: Surgery = field(default_factory=Surgery)  # for lesions only


@dataclass(frozen=True)
class Nature:
    """Arms trained in the world `nature`, where patients are asked what they are suspected of."""

    arms: list[str] = field(default_factory=list)  # empty = no study
    settings: list[str] = field(default_factory=list)  # FIELD=VALUE for all arms


@dataclass(frozen=True)
class ArmSeeds:
    """Study of the profile's arms with further seeds; none by default."""

    arms: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)  # for fine-tuning, besides the profile's own
    whole_seeds: list[int] = field(default_factory=list)  # for encoder, LLM and fine-tuning


@dataclass(frozen=True)
class PaperSchedule:
    """Study of the paper's ablation with its epochs over a range of rates; none by default."""

    rates: list[float] = field(default_factory=list)  # of stage 1; stage 2 uses a fifth of each
    seeds: list[int] = field(default_factory=list)  # for fine-tuning, besides the profile's own
    per_answer: int = 100  # maximum yes rows per question in train, as released
    per_answer_test: int = 20  # the same in test


@dataclass  # not frozen: OmegaConf cannot fill a frozen one inside a dictionary
class LeadArm:
    """One way to pretrain an encoder that is then shown fewer leads."""

    title: str
    encoder: dict[str, Any]  # name and settings, as in the profile's own section
    objective: dict[str, Any]
    normalisation: str | None = None  # null: the profile's signal.normalisation


@dataclass(frozen=True)
class Kmerl:
    """The models of MERL and K-MERL and their controls; none by default."""

    arms: dict[str, LeadArm] = field(default_factory=dict)
    seeds: list[int] = field(default_factory=lambda: [0])
    task: str = "findings"  # a file of ecg_lib/evaluation/tasks, asked zero-shot
    # Sets of leads: a number in the paper's order, a name, or a list (ecg_lib/signal/lead_sets.py).
    lead_sets: list[str] = field(default_factory=list)
    fill_sets: list[str] = field(default_factory=list)  # those at which fillings are compared
