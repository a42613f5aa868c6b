"""The projector from the encoder's tokens to the language model's space (equation 5)."""

from __future__ import annotations

from torch import Tensor, nn

FACTOR = 4  # tokens joined into one (equation 5)


def concat_four(z: Tensor) -> Tensor:
    """Join every four neighbouring tokens into one (equation 5): (B, n, D) -> (B, n / 4, 4 D).

    Token i of the result is concat(z[4i], z[4i+1], z[4i+2], z[4i+3]).

    Raises
    ------
    ValueError
        n is not a multiple of 4.
    """
    batch, n, width = z.shape
    return z.reshape(batch, Projector.slots(n), FACTOR * width)


class Projector(nn.Module):
    """Four neighbouring tokens, concatenated, and one linear layer to the LLM's width (equation 5).

    Parameters
    ----------
    encoder_width : int
        Size D of the encoder's tokens.
    llm_width : int
        Size H of the LLM's embeddings.
    init_std : float
        Standard deviation of the initial weights and biases.
    """

    def __init__(self, encoder_width: int, llm_width: int, init_std: float = 0.02):
        super().__init__()
        self.linear = nn.Linear(FACTOR * encoder_width, llm_width)
        nn.init.normal_(self.linear.weight, std=init_std)  # recovered from the authors' code
        nn.init.normal_(self.linear.bias, std=init_std)

    @staticmethod
    def slots(tokens: int) -> int:
        """Return how many LLM positions an ECG of so many tokens fills.

        Raises
        ------
        ValueError
            The number is not a multiple of 4, so tokens would be lost.
        """
        if tokens % FACTOR:
            raise ValueError(
                f"{tokens} ECG tokens cannot be grouped in fours (equation 5); use a multiple of 4"
            )
        return tokens // FACTOR

    def forward(self, z: Tensor) -> Tensor:
        """Project the tokens of an ECG."""
        return self.linear(concat_four(z))  # (B, n, D) -> (B, n / 4, H)
