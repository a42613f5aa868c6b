"""MERL's ResNet18 over time, with all leads as input channels (recovered from its code)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel

from ecg_lib.encoders.base import EcgEncoder, EcgEncoderConfig, EncoderOutput, without_absent

STRIDES = (1, 2, 2, 2)  # of the four stages, each twice as wide as the one before
BLOCKS = 2  # per stage


class Resnet1dConfig(EcgEncoderConfig):
    """Settings of the encoder; the default is ResNet18 with its 512 features."""

    model_type = "resnet1d"

    def __init__(self, channels: int = 64, **kwargs):
        self.channels = channels  # of the stem
        super().__init__(**kwargs)
        if channels < 1:
            raise ValueError(f"channels is {channels}; give at least 1")

    @property
    def width(self) -> int:
        """Size D of the tokens: the channels of the last stage."""
        return self.channels * 2 ** (len(STRIDES) - 1)

    @property
    def tokens(self) -> int:
        """Number n of time steps of the last feature map, a sixteenth of T rounded up."""
        n = self.ecg_input.samples
        for stride in (2, *STRIDES):
            n = -(-n // stride)
        return n


class BasicBlock(nn.Module):
    """Two convolutions with kernel 3 and a shortcut; the first one may have a stride."""

    def __init__(self, narrow: int, wide: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(narrow, wide, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm1d(wide),
            nn.ReLU(),
            nn.Conv1d(wide, wide, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm1d(wide),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or narrow != wide:
            self.shortcut = nn.Sequential(
                nn.Conv1d(narrow, wide, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm1d(wide),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, narrow, T) to (B, wide, T / stride), rounded up."""
        return F.relu(self.body(x) + self.shortcut(x))


class Resnet1d(EcgEncoder):
    """MERL's ResNet arm: normalised ECGs (B, L, T) -> time steps of the last map and their mean."""

    config_class = Resnet1dConfig

    def __init__(self, config: Resnet1dConfig):
        super().__init__(config)
        leads, channels = len(config.ecg_input.leads), config.channels
        self.stem = nn.Sequential(
            nn.Conv1d(leads, channels, kernel_size=7, stride=2, padding=3, bias=False),
            nn.BatchNorm1d(channels),
            nn.ReLU(),
        )
        blocks = []
        narrow = channels
        for stage, stride in enumerate(STRIDES):
            wide = channels * 2**stage
            for block in range(BLOCKS):
                blocks.append(BasicBlock(narrow, wide, stride if block == 0 else 1))
                narrow = wide
        self.blocks = nn.Sequential(*blocks)
        self.post_init()

    def forward(self, ecg: Tensor, lead_mask: Tensor | None = None) -> EncoderOutput:
        """Encode ECGs; parameters are those of `EcgEncoder.forward`.

        An absent lead is read as 0. The stem has no bias, so such a lead is left out of its sum.

        Returns
        -------
        EncoderOutput
            `tokens` (B, n, D) is the last feature map; `cls` (B, D) is its mean over time, the
            vector that MERL probes. MERL's attention pooling belongs to its objective.
        """
        features = self.blocks(self.stem(without_absent(ecg, lead_mask)))  # (B, D, n)
        return EncoderOutput(tokens=features.transpose(1, 2), cls=features.mean(2))


AutoConfig.register(Resnet1dConfig.model_type, Resnet1dConfig)
AutoModel.register(Resnet1dConfig, Resnet1d)
