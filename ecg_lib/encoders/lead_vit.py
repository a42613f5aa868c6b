"""K-MERL's encoder: every token is a segment of one lead, so absent leads are simply left out.

A lead is cut into segments, which one linear layer maps to tokens. Each token is told its lead and
its time by learnt vectors (K-MERL, section 3). Nothing is filled in for a lead that was not
recorded, and a shorter ECG has fewer tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from ecg_lib.encoders.base import EcgEncoder, EcgEncoderConfig, EncoderOutput
from ecg_lib.encoders.lead_segments import LinearSegments, ResidualSegments
from ecg_lib.encoders.vit_blocks import PreLnTransformer, check_sizes

ALL, PER_TIME = TOKENS_OUT = ("all", "per_time")
LINEAR, RESIDUAL = STEMS = ("linear", "residual")


class LeadVitConfig(EcgEncoderConfig):
    """Settings of the encoder; the defaults are K-MERL's at 100 Hz (ViT-tiny)."""

    model_type = "lead_vit"

    def __init__(
        self,
        segment: int = 20,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        head_size: int = 64,
        mlp: int = 768,
        dropout: float = 0.0,
        stem: str = LINEAR,
        lead_embedding: bool = True,
        time_embedding: bool = True,
        embedding_std: float = 0.02,
        tokens_out: str = ALL,
        **kwargs,
    ):
        self.segment = segment  # samples per token
        self.width, self.depth, self.heads, self.head_size = width, depth, heads, head_size
        self.mlp, self.dropout = mlp, dropout
        self.stem = stem  # "linear" (the paper's) or "residual"
        self.lead_embedding, self.time_embedding = lead_embedding, time_embedding
        self.embedding_std = embedding_std
        self.tokens_out = tokens_out  # "all", or "per_time": their mean over leads
        super().__init__(**kwargs)
        self._check(self.ecg_input.samples)

    def _check(self, samples: int) -> None:
        if self.stem not in STEMS:
            raise ValueError(f"stem is {self.stem!r}; choose {' or '.join(STEMS)}")
        if self.tokens_out not in TOKENS_OUT:
            raise ValueError(f"tokens_out is {self.tokens_out!r}; choose {' or '.join(TOKENS_OUT)}")
        fitting = [size for size in range(1, samples + 1) if samples % size == 0]
        if self.stem == RESIDUAL:  # this stem halves the rate before it cuts segments
            fitting = [size for size in fitting if size % 2 == 0]
        if self.segment not in fitting:
            raise ValueError(
                f"segment is {self.segment}; with the {self.stem} stem and {samples} samples it "
                f"must be one of {', '.join(map(str, fitting))}"
            )
        check_sizes(self.heads, self.head_size, self.dropout)
        if self.stem == RESIDUAL and self.width % 2:
            raise ValueError(f"width is {self.width}; the residual stem needs an even number")

    @property
    def steps(self) -> int:
        """Number M of segments per lead."""
        return self.ecg_input.samples // self.segment

    @property
    def tokens(self) -> int:
        """Number of tokens that `forward` returns: L M, or M if they are pooled over leads."""
        return self.steps * (1 if self.tokens_out == PER_TIME else len(self.ecg_input.leads))


class LeadVit(EcgEncoder):
    """Normalised ECGs (B, L, T) -> tokens of the leads that are present, and their mean."""

    config_class = LeadVitConfig

    def __init__(self, config: LeadVitConfig):
        super().__init__(config)
        width, leads = config.width, len(config.ecg_input.leads)
        segments = ResidualSegments if config.stem == RESIDUAL else LinearSegments
        self.segments = segments(config.segment, width)

        def embedding(number: int, wanted: bool) -> nn.Parameter | None:
            if not wanted:
                return None
            return nn.Parameter(torch.randn(number, width) * config.embedding_std)

        self.lead_vectors = embedding(leads, config.lead_embedding)  # (L, D)
        self.time_vectors = embedding(config.steps, config.time_embedding)  # (M, D)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = PreLnTransformer(
            config.depth, width, config.heads, config.head_size, config.mlp, config.dropout
        )
        self.norm = nn.LayerNorm(width)
        self.post_init()

    def forward(
        self, ecg: Tensor, lead_mask: Tensor | None = None, keep: Tensor | None = None
    ) -> EncoderOutput:
        """Encode ECGs; parameters are those of `every_token`.

        Returns
        -------
        EncoderOutput
            That of `every_token`, or with `tokens_out: per_time` its mean over the leads.
        """
        output = self.every_token(ecg, lead_mask, keep)
        if self.config.tokens_out == PER_TIME:
            return self.over_leads(output, keep, ecg.shape[-1] // self.config.segment)
        return output

    def every_token(
        self, ecg: Tensor, lead_mask: Tensor | None = None, keep: Tensor | None = None
    ) -> EncoderOutput:
        """Encode ECGs and return a token for every segment, whatever `tokens_out` says.

        Parameters
        ----------
        ecg : (B, L, T) float32
            ECGs prepared by `config.ecg_input.prepare`, or only their first seconds: T may be any
            multiple of `segment` up to the config's.
        lead_mask : (B, L) bool, optional
            True where a lead was recorded; None means that all leads were. Absent leads are left
            out.
        keep : (B, k) int64, optional
            The tokens to encode, by position in the lead-major sequence from 0 to L M - 1, where
            M = T / segment; -1 is no token. None means every token.

        Returns
        -------
        EncoderOutput
            `tokens` (B, n, D), with layer norm, in the order of `keep`, or lead-major with n = L M.
            `cls` (B, D) is the mean of the valid ones. `token_mask` is None if all are valid; where
            it is False, the token is 0.

        Raises
        ------
        ValueError
            The ECGs have another number of leads, or a number of samples that cannot be cut.
        """
        steps = self._steps_of(ecg)
        lead, time = self.token_places(keep, steps)  # (B or 1, n) each
        z = self.segments(ecg, lead_mask, keep)  # (B, n, D)
        if self.lead_vectors is not None:
            z = z + self.lead_vectors[lead]
        if self.time_vectors is not None:
            z = z + self.time_vectors[time]
        valid = None if keep is None else keep >= 0
        if lead_mask is not None:
            there = lead_mask.gather(1, lead.expand(len(ecg), -1))
            valid = there if valid is None else valid & there
        if valid is not None and valid.all():
            valid = None
        z = self.norm(self.blocks.packed(self.dropout(z), valid))
        if valid is None:
            return EncoderOutput(tokens=z, cls=z.mean(1))
        z = z.masked_fill(~valid[..., None], 0)
        number = valid.sum(1, keepdim=True).clamp(min=1)
        return EncoderOutput(tokens=z, cls=z.sum(1) / number, token_mask=valid)

    def token_places(
        self, keep: Tensor | None = None, steps: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the lead and the time step of every token.

        Parameters
        ----------
        keep : (B, k) int64, optional
            As for `every_token`.
        steps : int, optional
            Number M of segments per lead; None means that of a whole ECG.

        Returns
        -------
        lead, time : (B, k) int64
            Positions among the encoder's leads and among the M segments; (1, L M) without `keep`.
            -1 in `keep` is given as lead 0 and time 0.
        """
        steps = steps or self.config.steps
        if keep is None:
            every = len(self.config.ecg_input.leads) * steps
            keep = torch.arange(every, device=self.device)[None]
        keep = keep.clamp(min=0)
        return keep // steps, keep % steps

    def over_leads(
        self, output: EncoderOutput, keep: Tensor | None = None, steps: int | None = None
    ) -> EncoderOutput:
        """Average the valid tokens of each time step over their leads.

        Parameters
        ----------
        output : EncoderOutput
            That of `every_token`.
        keep, steps
            As for `token_places`; `keep` as it was given to `every_token`.

        Returns
        -------
        EncoderOutput
            `tokens` (B, M, D), whatever leads are present. `token_mask` (B, M) is False at a time
            step without a token, which is 0, and None if there is no such step. `cls` is as before.
        """
        tokens, valid = output.tokens, output.token_mask
        assert tokens is not None
        steps = steps or self.config.steps
        if valid is None:
            valid = tokens.new_ones(tokens.shape[:2], dtype=torch.bool)
        if keep is None:
            number = valid.unflatten(1, (-1, steps)).sum(1)  # (B, M)
            total = tokens.unflatten(1, (-1, steps)).sum(1)  # (B, M, D); absent tokens are 0
        else:
            time = self.token_places(keep, steps)[1]  # (B, k)
            number = valid.new_zeros(len(time), steps, dtype=torch.int64)
            number = number.scatter_add(1, time, valid.long())
            place = time[..., None].expand_as(tokens)
            total = tokens.new_zeros(*number.shape, tokens.shape[-1]).scatter_add(1, place, tokens)
        there = number > 0
        return EncoderOutput(
            tokens=total / number.clamp(min=1)[..., None],
            cls=output.cls,
            token_mask=None if there.all() else there,
        )

    def _steps_of(self, ecg: Tensor) -> int:
        leads, samples = self.config.ecg_input.shape
        segment = self.config.segment
        if ecg.shape[1] != leads or not 0 < ecg.shape[2] <= samples or ecg.shape[2] % segment:
            raise ValueError(
                f"an ECG has shape {tuple(ecg.shape[1:])}; give {leads} leads and a multiple of "
                f"{segment} samples, at most {samples}"
            )
        return ecg.shape[2] // segment


AutoConfig.register(LeadVitConfig.model_type, LeadVitConfig)
AutoModel.register(LeadVitConfig, LeadVit)
