"""Pre-LN transformer blocks over tokens of which some may be absent (MERL and K-MERL).

They differ from the blocks of `stem_vit` in two ways that decide the number of parameters: the
width of attention, heads x head size, does not depend on the width of the tokens, and queries, keys
and values have a bias.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def check_sizes(heads: int, head_size: int, dropout: float) -> None:
    """Refuse impossible settings of the blocks.

    Raises
    ------
    ValueError
        A setting is impossible; the message begins with its name.
    """
    for name, size in (("heads", heads), ("head_size", head_size)):
        if size < 1:
            raise ValueError(f"{name} is {size}; attention needs at least 1")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is {dropout:g}; give a probability below 1")


class MaskedAttention(nn.Module):
    """Multi-head self-attention in which no token attends to an absent one.

    Parameters
    ----------
    width : int
        Size D of the tokens.
    heads, head_size : int
        The attention is heads x head_size wide, whatever the width of the tokens.
    dropout : float
        Probability with which an attention weight is dropped in training.
    """

    def __init__(self, width: int, heads: int, head_size: int, dropout: float = 0.0):
        super().__init__()
        self.heads, self.head_size, self.dropout = heads, head_size, dropout
        self.qkv = nn.Linear(width, 3 * heads * head_size)
        self.out = nn.Linear(heads * head_size, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Mix the tokens (B, n, D); `mask` (B, n) is True where a token may be attended to.

        Every row of the mask needs a True, else the result is undefined.
        """
        batch, n, _ = x.shape
        qkv = self.qkv(x).view(batch, n, 3, self.heads, self.head_size)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, n, head size)
        keys = None if mask is None else mask[:, None, None]  # (B, 1, 1, n)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=keys, dropout_p=dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))  # (B, n, D)


class PreLnBlock(nn.Module):
    """Attention and a feed-forward layer with GELU, each after a LayerNorm and with a shortcut."""

    def __init__(self, width: int, heads: int, head_size: int, mlp: int, dropout: float = 0.0):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = MaskedAttention(width, heads, head_size, dropout)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, mlp), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Update the tokens (B, n, D); `mask` as for `MaskedAttention`."""
        z = z + self.dropout(self.attention(self.norm1(z), mask))
        return z + self.dropout(self.feed_forward(self.norm2(z)))


class PreLnTransformer(nn.ModuleList):
    """Blocks one after another, with two equal ways to leave absent tokens out.

    `forward` masks absent tokens in attention and is the reference. `packed` moves the valid tokens
    together first, so that absent ones cost nothing.
    """

    def __init__(
        self, depth: int, width: int, heads: int, head_size: int, mlp: int, dropout: float = 0.0
    ):
        super().__init__(PreLnBlock(width, heads, head_size, mlp, dropout) for _ in range(depth))

    def forward(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Update the tokens.

        Parameters
        ----------
        z : (B, n, D) float
        mask : (B, n) bool, optional
            True where a token is valid; None means that all are.

        Returns
        -------
        (B, n, D) float
            What stands at absent tokens has no meaning, but is finite.
        """
        if mask is not None:  # attention over no key would be NaN
            mask = mask | ~mask.any(1, keepdim=True)
        for block in self:
            z = block(z, mask)
        return z

    def packed(self, z: Tensor, mask: Tensor | None = None) -> Tensor:
        """Do what `forward` does, but compute only as many tokens as the fullest ECG has.

        If every ECG has equally many valid tokens, no mask is needed at all. Absent tokens are 0.
        """
        if mask is None:
            return self(z)
        fewest, most = (int(count) for count in mask.sum(1).aminmax())
        if fewest == z.shape[1]:
            return self(z)
        most = max(most, 1)
        order = (~mask).byte().argsort(dim=1, stable=True)[:, :most]  # valid tokens first, in order
        place = order[..., None].expand(-1, -1, z.shape[-1])  # (B, most, D)
        valid = None if fewest == most else mask.gather(1, order)
        inner = self(z.gather(1, place), valid)
        if valid is not None:
            inner = inner.masked_fill(~valid[..., None], 0)
        return inner.new_zeros(z.shape).scatter(1, place, inner)
