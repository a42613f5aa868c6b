"""Augmentation: random changes, as recorders and skin make them, that keep an ECG's findings.

The strengths come from a study of simulated-to-real transfer and were not tuned here. Nothing
shifts or stretches time, because intervals are findings. A lead's gain varies by about 30 % (one
standard deviation).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ecg_lib.signal.resample import STANDARD_RATE


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the random changes."""

    gain_log_sd: float = 0.2  # standard deviation of a record's log gain
    lead_gain_log_sd: float = 0.25  # the same for each of its leads
    high_pass_hz: tuple[float, float] = (0.02, 0.5)
    low_pass_hz: tuple[float, float] = (25.0, 50.0)
    white_mv: float = 0.012  # largest standard deviation of white noise
    wander_mv: float = 0.06  # largest amplitude of baseline wander
    lead_dropout: float = 0.01  # probability that a lead is flat


def augment(
    ecg: Tensor, generator: torch.Generator, how: Augmentation, rate: float = STANDARD_RATE
) -> Tensor:
    """Apply random filters, gains, baseline wander, noise and lead dropout.

    Parameters
    ----------
    ecg : (B, 12, T) float32, mV
    generator : torch.Generator
    how : Augmentation
    rate : float
        Sampling rate in Hz.

    Returns
    -------
    (B, 12, T) float32, mV
    """
    batch, leads, samples = ecg.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(batch, 1, 1, generator=generator)

    hz = torch.fft.rfftfreq(samples, 1 / rate)  # (bins,)
    high, low = uniform(*how.high_pass_hz), uniform(*how.low_pass_hz)
    passed = hz / (hz**2 + high**2).sqrt() / (1 + (hz / low) ** 4)
    passed = torch.where(low > 48, hz / (hz**2 + high**2).sqrt(), passed)  # (B, 1, bins)
    ecg = torch.fft.irfft(torch.fft.rfft(ecg) * passed, samples)
    gain = how.gain_log_sd * normal(batch, 1, 1) + how.lead_gain_log_sd * normal(batch, leads, 1)
    time = torch.arange(samples) / rate
    slow = uniform(0.05, 0.4) * time + torch.rand(batch, leads, 1, generator=generator)
    wander = how.wander_mv * torch.rand(batch, leads, 1, generator=generator)
    ecg = ecg * gain.exp() + wander * (2 * math.pi * slow).sin()
    ecg = ecg + uniform(0, how.white_mv) * normal(batch, leads, samples)
    kept = torch.rand(batch, leads, 1, generator=generator) >= how.lead_dropout
    return ecg * kept
