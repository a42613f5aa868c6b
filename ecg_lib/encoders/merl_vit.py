"""MERL's ViT: one convolution over all leads cuts the tokens, pre-LN blocks, mean of the tokens.

Sizes and details are recovered from the authors' code. With width 192, 384, 512 and 768, 3, 6, 8
and 12 heads and mlp = 4 width it is their tiny, small, middle and base.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from ecg_lib.encoders.base import EcgEncoder, EcgEncoderConfig, EncoderOutput, without_absent
from ecg_lib.encoders.vit_blocks import PreLnTransformer, check_sizes


class MerlVitConfig(EcgEncoderConfig):
    """Settings of the encoder; the defaults are ViT-tiny with patches of 0.1 s at 100 Hz."""

    model_type = "merl_vit"

    def __init__(
        self,
        patch: int = 10,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        head_size: int = 64,
        mlp: int = 768,
        dropout: float = 0.0,
        position_std: float = 1.0,
        **kwargs,
    ):
        self.patch = patch  # samples per token
        self.width, self.depth, self.heads, self.head_size = width, depth, heads, head_size
        self.mlp, self.dropout = mlp, dropout
        self.position_std = position_std
        super().__init__(**kwargs)
        samples = self.ecg_input.samples
        fitting = [size for size in range(1, samples + 1) if samples % size == 0]
        if patch not in fitting:
            raise ValueError(
                f"patch is {patch}; with {samples} samples it must be one of "
                f"{', '.join(map(str, fitting))}"
            )
        check_sizes(heads, head_size, dropout)

    @property
    def tokens(self) -> int:
        """Number of tokens n = T / patch."""
        return self.ecg_input.samples // self.patch


class MerlVit(EcgEncoder):
    """MERL's ViT arm: normalised ECGs (B, L, T) -> tokens and the vector that is pooled."""

    config_class = MerlVitConfig

    def __init__(self, config: MerlVitConfig):
        super().__init__(config)
        width, leads = config.width, len(config.ecg_input.leads)
        self.patchify = nn.Conv1d(leads, width, config.patch, stride=config.patch, bias=False)
        self.positions = nn.Parameter(torch.randn(config.tokens, width) * config.position_std)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = PreLnTransformer(
            config.depth, width, config.heads, config.head_size, config.mlp, config.dropout
        )
        self.norm = nn.LayerNorm(width)
        self.post_init()

    def forward(self, ecg: Tensor, lead_mask: Tensor | None = None) -> EncoderOutput:
        """Encode ECGs; parameters are those of `EcgEncoder.forward`.

        An absent lead is read as 0. The convolution has no bias, so such a lead is left out of its
        sum.

        Returns
        -------
        EncoderOutput
            `tokens` (B, n, D) without layer norm; `cls` (B, D) is the layer norm of their mean.
        """
        patches = self.patchify(without_absent(ecg, lead_mask)).transpose(1, 2)  # (B, n, D)
        z = self.blocks(self.dropout(patches + self.positions))
        return EncoderOutput(tokens=z, cls=self.norm(z.mean(1)))


AutoConfig.register(MerlVitConfig.model_type, MerlVitConfig)
AutoModel.register(MerlVitConfig, MerlVit)
