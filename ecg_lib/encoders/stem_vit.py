"""The paper's ECG encoder: stem, temporal patches, [CLS], pre-LN transformer (equations 1-4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel

from ecg_lib.encoders.base import EcgEncoder, EcgEncoderConfig, EncoderOutput, without_absent


class StemVitConfig(EcgEncoderConfig):
    """Sizes of the encoder; the defaults are the only ones the authors trained publicly."""

    model_type = "stem_vit"

    def __init__(
        self,
        patch: int = 10,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        mlp: int = 3072,
        dropout: float = 0.1,
        stem: str = "paper",
        **kwargs,
    ):
        self.patch = patch  # samples per patch
        self.width, self.depth, self.heads, self.mlp = width, depth, heads, mlp
        self.dropout = dropout
        self.stem = stem  # "paper" or "residual"
        super().__init__(**kwargs)
        self._check(self.ecg_input.samples)

    def _check(self, samples: int) -> None:
        fitting = [size for size in range(1, samples + 1) if samples % size == 0]
        if self.stem not in ("paper", "residual"):
            raise ValueError(f"stem is {self.stem!r}; choose paper or residual")
        if self.stem == "residual":  # this stem halves the rate before it cuts patches
            fitting = [size for size in fitting if size % 2 == 0]
        if self.patch not in fitting:
            raise ValueError(
                f"patch is {self.patch}; with the {self.stem} stem and {samples} samples it must "
                f"be one of {', '.join(map(str, fitting))}"
            )
        if self.heads < 1 or self.width % self.heads:
            raise ValueError(f"heads is {self.heads}; it must divide the width, {self.width}")
        if self.width % 4:
            raise ValueError(f"width is {self.width}; the stem needs a multiple of 4")

    @property
    def tokens(self) -> int:
        """Number of patch tokens n = T / p, without [CLS]."""
        return self.ecg_input.samples // self.patch


class Stem(nn.Sequential):
    """The paper's stem: convolutions with kernels 15 and 7, each with batch norm and ReLU.

    It keeps the signal's length: (B, L, T) -> (B, D / 2, T).
    """

    def __init__(self, leads: int, width: int):
        super().__init__(
            nn.Conv1d(leads, width // 4, kernel_size=15, padding=7),
            nn.BatchNorm1d(width // 4),
            nn.ReLU(),
            nn.Conv1d(width // 4, width // 2, kernel_size=7, padding=3),
            nn.BatchNorm1d(width // 2),
            nn.ReLU(),
        )


class Residual(nn.Module):
    """Two convolutions with kernel 7 and a shortcut; the first one may have a stride."""

    def __init__(self, narrow: int, wide: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(narrow, wide, kernel_size=7, stride=stride, padding=3, bias=False),
            nn.BatchNorm1d(wide),
            nn.ReLU(),
            nn.Conv1d(wide, wide, kernel_size=7, padding=3, bias=False),
            nn.BatchNorm1d(wide),
        )
        self.shortcut = nn.Sequential(
            nn.Conv1d(narrow, wide, kernel_size=stride, stride=stride, bias=False),
            nn.BatchNorm1d(wide),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, narrow, T) to (B, wide, T / stride)."""
        return F.relu(self.body(x) + self.shortcut(x))


class ResidualStem(nn.Sequential):
    """A cheaper stem that is not in the paper: it shortens the signal early, at half the cost.

    The first convolution halves the rate and the last block cuts the patches:
    (B, L, T) -> (B, D, T / patch).
    """

    def __init__(self, leads: int, width: int, patch: int):
        super().__init__(
            nn.Conv1d(leads, width // 2, kernel_size=9, stride=2, padding=4, bias=False),
            nn.BatchNorm1d(width // 2),
            nn.ReLU(),
            Residual(width // 2, width // 2, stride=1),
            Residual(width // 2, width, stride=patch // 2),
        )


class Attention(nn.Module):
    """Multi-head self-attention (MSA in equation 2)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Let the tokens (B, n, D) attend to one another."""
        batch, n, width = x.shape
        qkv = self.qkv(x).view(batch, n, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, n, D / heads)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).reshape(batch, n, width))  # (B, n, D)


class Block(nn.Module):
    """Pre-LN transformer block with residual connections (equations 2 and 3)."""

    def __init__(self, config: StemVitConfig):
        super().__init__()
        width = config.width
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, config.heads, config.dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, config.mlp),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.mlp, width),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, z: Tensor) -> Tensor:
        """Update the tokens (B, n, D)."""
        z = z + self.dropout(self.attention(self.norm1(z)))
        return z + self.dropout(self.feed_forward(self.norm2(z)))


class StemVit(EcgEncoder):
    """The paper's encoder: normalised ECGs (B, L, T) -> patch tokens and a global vector."""

    config_class = StemVitConfig

    def __init__(self, config: StemVitConfig):
        super().__init__(config)
        width, leads = config.width, len(config.ecg_input.leads)
        if config.stem == "residual":
            self.stem: nn.Module = ResidualStem(leads, width, config.patch)
            self.patchify: nn.Module = nn.Identity()
        else:
            self.stem = Stem(leads, width)
            self.patchify = nn.Conv1d(width // 2, width, config.patch, stride=config.patch)
        self.cls = nn.Parameter(torch.randn(width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1 + config.tokens, width) * 0.02)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(width)
        self.post_init()

    def forward(self, ecg: Tensor, lead_mask: Tensor | None = None) -> EncoderOutput:
        """Encode ECGs; parameters are those of `EcgEncoder.forward`.

        An absent lead is read as 0. The stem mixes the leads, so no token could be masked instead.

        Returns
        -------
        EncoderOutput
            `tokens` (B, n, D) is z_L without [CLS] and without layer norm; `cls` (B, D) is
            y = LN(z_L^0) (equation 4).
        """
        ecg = without_absent(ecg, lead_mask)  # (B, L, T)
        patches = self.patchify(self.stem(ecg)).transpose(1, 2)  # (B, n, D)
        cls = self.cls.expand(len(ecg), 1, -1)  # (B, 1, D)
        z = self.dropout(torch.cat([cls, patches], dim=1) + self.positions)  # (B, 1 + n, D)
        for block in self.blocks:
            z = block(z)
        return EncoderOutput(tokens=z[:, 1:], cls=self.norm(z[:, 0]))


AutoConfig.register(StemVitConfig.model_type, StemVitConfig)
AutoModel.register(StemVitConfig, StemVit)
