"""Figure 3, redrawn: the parts of the ECG encoder, and how its tokens enter the LLM."""

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_lib.report import style
from ecg_lib.report.schematics import arrow, box, canvas, ecg_tile, frame, headed, label, tokens

FROZEN, TRAINED, PLAIN = "#dcebf6", "#fdebc8", "#f4f4f4"


@dataclass(frozen=True)
class Dims:
    """Sizes printed in Figure 3; the defaults are those of the full model."""

    leads: int = 12
    samples: int = 1000
    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 10
    concat: int = 4
    llm: str = "LLaMA-2-7B-chat"
    llm_width: int = 4096
    lora_rank: int = 8
    lora_alpha: int = 16
    adapted: tuple[str, ...] = ("q_proj", "k_proj")  # the modules that have LoRA

    @property
    def patches(self) -> int:
        """Number of patches per ECG; equation 5 requires that `concat` divides it."""
        return self.samples // self.patch

    @property
    def llm_tokens(self) -> int:
        """Number of ECG tokens that reach the LLM."""
        return self.patches // self.concat


def figure3_architecture(dims: Dims | None = None) -> Figure:
    """Draw Figure 3: the encoder (left) and the ECG language model (right), with all sizes."""
    dims = dims or Dims()
    with style.use():
        fig, ax = canvas(8.4, 6.35)
        headed(ax, 0.2, 6.15, "a", "ECG encoder")
        headed(ax, 4.45, 6.15, "b", "ECG language model")
        _encoder(ax, dims)
        _language_model(ax, dims)
        for x, face, text in (
            (0.2, FROZEN, "frozen while the LLM learns"),
            (2.45, TRAINED, "trained in both stages"),
            (4.42, PLAIN, "text"),
        ):
            box(ax, x, 0.14, 0.24, 0.2, face=face)
            label(ax, x + 0.32, 0.24, text, ha="left", color=style.INK)
    return fig


def _encoder(ax: Axes, d: Dims) -> None:
    """Draw, from bottom to top: ECG, stem, patches, tokens, transformer, its two outputs."""
    middle, x, wide = 1.55, 0.45, 2.2
    ecg_tile(ax, x, 0.58, wide, 0.66)
    label(ax, 2.75, 1.0, f"{d.leads} {style.TIMES} {d.samples:,}", ha="left", color=style.INK)
    label(ax, 2.75, 0.82, "min-max per lead", ha="left")
    rows = (
        (1.42, "Conv1d, k = 15, BN, ReLU", f"{d.width // 4} {style.TIMES} {d.samples:,}"),
        (1.88, "Conv1d, k = 7, BN, ReLU", f"{d.width // 2} {style.TIMES} {d.samples:,}"),
        (2.34, f"patches of {d.patch} samples", f"{d.patches} {style.TIMES} {d.width}"),
    )
    start = 1.26
    for y, text, size in rows:
        arrow(ax, (middle, start), (middle, y))
        box(ax, x, y, wide, 0.31, text, FROZEN, fontsize=8)
        label(ax, 2.75, y + 0.155, size, ha="left", color=style.INK)
        start = y + 0.32
    arrow(ax, (middle, start), (middle, 2.84))
    tokens(ax, x, 2.86, 1, style.ORANGE, size=(0.13, 0.3))
    end = tokens(ax, x + 0.28, 2.86, 10, style.SKY, size=(0.13, 0.3), gap=0.04)
    ax.text(end + 0.11, 3.01, "...", ha="center", va="center")
    label(ax, x + 0.06, 2.74, "CLS", fontsize=7)
    label(ax, 2.75, 3.09, "+ learnable", ha="left")
    label(ax, 2.75, 2.94, "positions", ha="left")
    arrow(ax, (middle, 3.18), (middle, 3.36))
    _transformer(ax, d, x, 3.38, wide)
    _outputs(ax, d, x)


def _transformer(ax: Axes, d: Dims, x: float, y: float, wide: float) -> None:
    """Draw one pre-LN block with its two residual arrows, from bottom to top."""
    frame(ax, x, y, wide, 1.52, fc=FROZEN, ec=style.INK)
    middle = x + wide / 2
    parts = (
        (0.1, "LN"),
        (0.4, f"self-attention, {d.heads} heads"),
        (0.82, "LN"),
        (1.12, "feed forward, GELU"),
    )
    for dy, text in parts:
        box(ax, x + 0.3, y + dy, wide - 0.6, 0.23, text, "white", style.QUIET, fontsize=7.5)
    for low, high in ((0.33, 0.4), (0.63, 0.82), (1.05, 1.12)):
        arrow(ax, (middle, y + low), (middle, y + high), width=0.7, head=False)
    for low, high in ((0.05, 0.72), (0.77, 1.43)):
        side = x + 0.14
        ax.plot([middle, side, side], [y + low, y + low, y + high], color=style.QUIET, lw=1)
        arrow(ax, (side, y + high), (middle, y + high), color=style.QUIET, width=0.9)
    ax.plot([middle, middle], [y + 1.35, y + 1.52], color=style.INK, lw=0.7)
    label(ax, 2.75, y + 0.84, f"{style.TIMES} {d.depth}", ha="left", color=style.INK, fontsize=11)
    label(ax, 2.75, y + 0.62, "pre-LN", ha="left")


def _outputs(ax: Axes, d: Dims, x: float) -> None:
    arrow(ax, (x + 0.35, 4.9), (x + 0.35, 5.2))
    box(ax, x - 0.15, 5.22, 1.0, 0.32, "y = LN(CLS)", "white", style.INK, fontsize=8)
    label(ax, x + 0.35, 5.72, "contrast with the\nreport (pretraining)", va="center")
    arrow(ax, (x + 1.75, 4.9), (x + 1.75, 5.2))
    box(ax, x + 1.12, 5.22, 1.3, 0.32, "drop CLS", "white", style.INK, fontsize=8)
    label(ax, x + 1.77, 5.69, f"{d.patches} {style.TIMES} {d.width}", color=style.INK)
    ax.plot([x + 2.42, 4.05, 4.05, 4.6], [5.38, 5.38, 1.72, 1.72], color=style.BLUE, lw=1.8)
    arrow(ax, (4.55, 1.72), (4.78, 1.72), color=style.BLUE, width=1.8)


def _language_model(ax: Axes, d: Dims) -> None:
    """Draw, from bottom to top: projector, sequence of text and ECG tokens, LLM, answer."""
    # Projector: concatenate neighbouring tokens, then apply one linear map.
    box(ax, 4.8, 1.54, 1.25, 0.36, f"concat {d.concat}", "white", style.INK, fontsize=8)
    label(ax, 5.42, 1.38, f"{d.llm_tokens} {style.TIMES} {d.concat * d.width:,}", color=style.INK)
    arrow(ax, (6.07, 1.72), (6.38, 1.72), color=style.BLUE, width=1.8)
    box(ax, 6.4, 1.54, 1.25, 0.36, "linear", TRAINED, weight="bold", fontsize=8)
    label(ax, 7.02, 1.38, f"{d.llm_tokens} {style.TIMES} {d.llm_width:,}", color=style.INK)
    frame(ax, 4.66, 1.18, 3.13, 0.86, fc="none", ec=style.QUIET, ls=(0, (3, 2)), lw=0.9)
    label(ax, 6.22, 1.04, f"projector: {d.concat} neighbouring tokens become one")
    # The sequence of text and ECG tokens.
    y = 2.5
    ax.plot([7.02, 7.02, 6.07, 6.07], [1.92, 2.24, 2.24, 2.34], color=style.BLUE, lw=1.8)
    arrow(ax, (6.07, 2.3), (6.07, y - 0.02), color=style.BLUE, width=1.8)
    box(ax, 4.42, y, 1.18, 0.46, "This is an electro-\ncardiogram.", PLAIN, style.QUIET, fontsize=7)
    end = tokens(ax, 5.68, y + 0.06, 5, style.SKY, size=(0.1, 0.34))
    ax.text(end + 0.1, y + 0.23, "...", ha="center", va="center")
    question = "Answer the following questions\nbased on the above content: ..."
    box(ax, 6.55, y, 1.7, 0.46, question, PLAIN, style.QUIET, fontsize=7)
    label(ax, 6.33, 3.09, "two ECGs: each has its own tokens in the sentence", fontsize=7.5)
    # The LLM with its LoRA adapters.
    arrow(ax, (6.33, 3.18), (6.33, 3.4))
    box(ax, 4.42, 3.42, 3.83, 1.52, "", FROZEN)
    ax.text(4.56, 4.76, d.llm, fontsize=9, weight="bold", va="center")
    lora = f"LoRA r = {d.lora_rank}, $\\alpha$ = {d.lora_alpha}, every layer"
    label(ax, 8.12, 4.76, lora, ha="right")
    for i, name in enumerate("qkv"):
        left = 4.6 + 0.9 * i
        box(ax, left, 3.55, 0.36, 0.34, f"$W_{name}$", "white", style.QUIET)
        arrow(ax, (left + 0.18, 3.9), (left + 0.18, 4.2), width=0.9)
        if f"{name}_proj" in d.adapted:
            _lora(ax, left + 0.4)
            ax.plot([left + 0.61] * 2 + [left + 0.23], [3.9, 4.05, 4.05], color=style.INK, lw=1)
            _plus(ax, left + 0.18, 4.05)
    box(ax, 4.6, 4.22, 2.55, 0.32, "causal self-attention", "white", style.QUIET, fontsize=8)
    arrow(ax, (7.16, 4.38), (7.29, 4.38), width=0.9)
    box(ax, 7.31, 4.22, 0.36, 0.32, "$W_o$", "white", style.QUIET)
    if "o_proj" in d.adapted:
        _lora(ax, 7.67)
        ax.plot([7.88, 7.88], [3.9, 4.3], color=style.INK, lw=1)
        ax.plot([7.67, 7.8], [4.38, 4.38], color=style.INK, lw=1)
        _plus(ax, 7.88, 4.38)
    arrow(ax, (6.33, 4.96), (6.33, 5.2))
    box(ax, 5.28, 5.22, 2.1, 0.36, "answer, token by token", "white", style.GREEN, fontsize=8)
    label(ax, 6.33, 5.72, "cross-entropy on the answer's tokens only")


def _lora(ax: Axes, x: float) -> None:
    box(ax, x, 3.55, 0.42, 0.34, "LoRA", TRAINED, weight="bold", fontsize=7)


def _plus(ax: Axes, x: float, y: float) -> None:
    circle = {"boxstyle": "circle,pad=0.08", "fc": "white", "ec": style.INK}
    label(ax, x, y, "+", color=style.INK, bbox=circle)
