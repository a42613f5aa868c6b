"""From the encoder's tokens to the language model's space (equation 5)."""

from __future__ import annotations

from torch import Tensor, nn

FACTOR = 4  # tokens joined into one, equation 5


def concat_four(z: Tensor) -> Tensor:
    """z[i] = concat(z[4i], z[4i+1], z[4i+2], z[4i+3]): (B, n, D) -> (B, n / 4, 4 D)."""
    batch, n, width = z.shape
    return z.reshape(batch, Projector.slots(n), FACTOR * width)


class Projector(nn.Module):
    """Four neighbouring tokens, concatenated, then one linear layer to the LLM's width."""

    def __init__(self, encoder_width: int, llm_width: int, init_std: float = 0.02):
        super().__init__()
        self.linear = nn.Linear(FACTOR * encoder_width, llm_width)
        nn.init.normal_(self.linear.weight, std=init_std)  # recovered from the authors' code
        nn.init.normal_(self.linear.bias, std=init_std)

    @staticmethod
    def slots(tokens: int) -> int:
        """Positions of the LLM that an ECG of so many tokens fills.

        Raises
        ------
        ValueError
            The number is not a multiple of 4: tokens would be lost.
        """
        if tokens % FACTOR:
            raise ValueError(f"{tokens} ECG tokens cannot be joined by fours (equation 5)")
        return tokens // FACTOR

    def forward(self, z: Tensor) -> Tensor:
        return self.linear(concat_four(z))  # (B, n, D) -> (B, n / 4, H)
