"""K-MERL's query network: one question per entity, answered from an ECG's tokens.

A query is the text vector of an entity's name. The queries attend to each other and to the tokens
of an ECG, and each ends in one logit (K-MERL, section 3.5). The layer follows KAD and MedKLIP, from
which the paper takes the design.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ecg_lib.errors import ConfigError

_INIT = 0.02  # standard deviation of all linear weights, as in KAD


@dataclass(frozen=True, kw_only=True)
class QuerySizes:
    """Sizes of a query network; the defaults are those for the paper's scale."""

    layers: int = 4
    heads: int = 4
    head_width: int = 64  # so that any number of heads fits any width
    width: int = 256
    hidden: int = 1024  # of the feed-forward part
    dropout: float = 0.1
    self_attention: bool = True  # False: no query sees another, so a score depends on its own name

    def __post_init__(self) -> None:
        for name in ("layers", "heads", "head_width", "width", "hidden"):
            if getattr(self, name) < 1:
                raise ConfigError(f"query_network.{name} is {getattr(self, name)}; give 1 or more")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"query_network.dropout is {self.dropout:g}; give 0 or more, below 1")


class _Attention(nn.Module):
    """Attention whose inner width is heads times head width, whatever the outer width."""

    def __init__(self, sizes: QuerySizes):
        super().__init__()
        inner = sizes.heads * sizes.head_width
        self.heads, self.dropout = sizes.heads, sizes.dropout
        self.query = nn.Linear(sizes.width, inner)
        self.key = nn.Linear(sizes.width, inner)
        self.value = nn.Linear(sizes.width, inner)
        self.out = nn.Linear(inner, sizes.width)

    def _split(self, rows: Tensor) -> Tensor:
        return rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, heads, n, head width)

    def forward(self, queries: Tensor, keys: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from queries (B, Q, E) to keys (B, n, E), where mask (B, n) is true."""
        q, k, v = self._split(self.query(queries)), self._split(self.key(keys)), self.value(keys)
        seen = None if mask is None else mask[:, None, None, :]
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(q, k, self._split(v), seen, dropout)
        return self.out(found.transpose(1, 2).flatten(2))  # (B, Q, E)

    def map(self, queries: Tensor, keys: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weights of `forward` without dropout, averaged over heads, (B, Q, n)."""
        q, k = self._split(self.query(queries)), self._split(self.key(keys))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])  # (B, heads, Q, n)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, None, None, :], float("-inf"))
        return scores.softmax(-1).mean(1)


class _Layer(nn.Module):
    """Self-attention, cross-attention and a feed-forward part, each on normalised queries."""

    def __init__(self, sizes: QuerySizes):
        super().__init__()
        self.among = _Attention(sizes) if sizes.self_attention else None
        self.norm_among = nn.LayerNorm(sizes.width) if sizes.self_attention else None
        self.norm_across, self.across = nn.LayerNorm(sizes.width), _Attention(sizes)
        self.forward_part = nn.Sequential(
            nn.LayerNorm(sizes.width),
            nn.Linear(sizes.width, sizes.hidden),
            nn.ReLU(),
            nn.Dropout(sizes.dropout),
            nn.Linear(sizes.hidden, sizes.width),
        )
        self.dropout = nn.Dropout(sizes.dropout)

    def gather(self, queries: Tensor) -> Tensor:
        """Let the queries (B, Q, E) attend to each other."""
        if self.among is None or self.norm_among is None:
            return queries
        own = self.norm_among(queries)
        return queries + self.dropout(self.among(own, own))

    def forward(self, queries: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        queries = self.gather(queries)
        across = self.across(self.norm_across(queries), tokens, mask)
        queries = queries + self.dropout(across)
        return queries + self.dropout(self.forward_part(queries))

    def map(self, queries: Tensor, tokens: Tensor, mask: Tensor | None) -> Tensor:
        return self.across.map(self.norm_across(self.gather(queries)), tokens, mask)


class QueryNetwork(nn.Module):
    """A transformer decoder from entity names and ECG tokens to one logit per entity.

    Parameters
    ----------
    text_width : int
        Size W of a name's text vector.
    token_width : int
        Size D of an ECG token.
    sizes : QuerySizes
    """

    def __init__(self, text_width: int, token_width: int, sizes: QuerySizes):
        super().__init__()
        self.sizes = sizes
        self.query_in = nn.Linear(text_width, sizes.width)
        self.token_in = nn.Linear(token_width, sizes.width)
        self.layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.layers))
        self.norm, self.dropout = nn.LayerNorm(sizes.width), nn.Dropout(sizes.dropout)
        self.head = nn.Linear(sizes.width, 1)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_INIT)
                nn.init.zeros_(module.bias)

    @torch.no_grad()
    def set_rate(self, rate: float) -> None:
        """Set the head's bias to the logit of the mean label rate, so that it need not be learnt.

        Parameters
        ----------
        rate : float
            Share of positive labels over all entities and ECGs, strictly between 0 and 1.

        Raises
        ------
        ValueError
            The rate has no logit.
        """
        self.head.bias.fill_(logit_of(rate))

    def forward(self, names: Tensor, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return a logit per ECG and entity.

        Parameters
        ----------
        names : (Q, W)
            Text vectors of the entities' names.
        tokens : (B, n, D)
            Tokens of ECGs.
        mask : (B, n) bool, optional
            True where a token is valid; None means that all are.

        Returns
        -------
        (B, Q)
        """
        queries, keys = self._enter(names, tokens)
        for layer in self.layers:
            queries = layer(queries, keys, mask)
        return self.head(self.dropout(self.norm(queries))).squeeze(-1)  # (B, Q)

    @torch.no_grad()
    def attention(
        self, names: Tensor, tokens: Tensor, mask: Tensor | None = None, layer: int = -1
    ) -> Tensor:
        """Return where each query looks: a layer's attention to the tokens, averaged over heads.

        Parameters are those of `forward`, and `layer`, by default the last.

        Returns
        -------
        (B, Q, n)
            Sums to 1 over the valid tokens; 0 elsewhere.
        """
        queries, keys = self._enter(names, tokens)
        chosen = range(len(self.layers))[layer]
        for before in self.layers[:chosen]:
            queries = before(queries, keys, mask)
        looking = self.layers[chosen]
        assert isinstance(looking, _Layer)  # the list holds nothing else
        return looking.map(queries, keys, mask)

    def _enter(self, names: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        queries = self.query_in(names).expand(len(tokens), -1, -1)  # (B, Q, E)
        return queries, self.token_in(tokens)  # (B, n, E)


def logit_of(rate: float) -> float:
    """Return the logit of a rate; raise `ValueError` if it is not strictly between 0 and 1."""
    if not 0 < rate < 1:
        raise ValueError(f"the mean label rate is {rate:g}; it must lie strictly between 0 and 1")
    return math.log(rate / (1 - rate))
