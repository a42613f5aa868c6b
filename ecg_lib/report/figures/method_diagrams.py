"""Figures 1 and 2, redrawn: two ways to show an ECG to an LLM; how questions are chosen."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ecg_lib.report import style
from ecg_lib.report.schematics import arrow, box, canvas, ecg_tile, headed, label, tokens

_PALE_BLUE, _PALE_ORANGE, _PALE_GREEN = "#dcebf6", "#fdebc8", "#d9f0e8"
_TAGS = ("sinus rhythm", "left axis deviation", "long qt-interval")  # a classifier's output


def figure1_tags_v_embeddings(
    tag_vocabulary: int = 71, llm_tokens: int = 25, llm_width: int = 4096
) -> Figure:
    """Draw Figure 1: an ECG reaches the language model as a few tags, or as embeddings.

    Parameters
    ----------
    tag_vocabulary : int
        Number of tags the classifier knows; each is present or absent.
    llm_tokens, llm_width : int
        Number of ECG tokens that reach the language model, and of values in each.
    """
    with style.use():
        fig, ax = canvas(8.4, 4.35)
        passed = llm_tokens * llm_width
        for y, letter, title in (
            (4.12, "a", "Tags: the classifier reads the ECG, the LLM reads its verdict"),
            (1.95, "b", "Embeddings: the LLM itself reads what the encoder saw"),
        ):
            headed(ax, 0.2, y, letter, title, gap=0.25)
        ax.plot([0.2, 8.2], [2.22, 2.22], color=style.FAINT, lw=0.8)
        for y in (2.77, 0.6):
            ecg_tile(ax, 0.2, y, 1.4, 1.0)
            label(ax, 0.9, y - 0.14, f"12 leads {style.TIMES} 1,000")
            label(ax, 0.9, y - 0.32, "= 12,000 numbers", weight="bold")
            arrow(ax, (1.66, y + 0.5), (2.0, y + 0.5))
        # a: tags
        y = 2.77
        box(ax, 2.05, y + 0.15, 1.2, 0.7, "ECG classifier", _PALE_ORANGE, weight="bold")
        label(ax, 2.65, y - 0.14, "the analysis is here", color=style.RED)
        arrow(ax, (3.3, y + 0.5), (3.62, y + 0.5))
        for i, tag in enumerate(_TAGS):
            box(ax, 3.68, y + 0.68 - 0.34 * i, 1.5, 0.28, tag, "#f2f2f2", style.QUIET, fontsize=8)
        label(ax, 4.43, y - 0.14, f"{tag_vocabulary} tags: yes or no")
        label(ax, 4.43, y - 0.32, f"= {tag_vocabulary} bits at most", weight="bold")
        arrow(ax, (5.25, y + 0.5), (5.95, y + 0.5), width=1.0)
        # b: embeddings
        y = 0.6
        box(ax, 2.05, y + 0.15, 0.95, 0.7, "ECG\nencoder", _PALE_BLUE, weight="bold")
        arrow(ax, (3.05, y + 0.5), (3.27, y + 0.5))
        box(ax, 3.32, y + 0.15, 0.85, 0.7, "projector", _PALE_ORANGE, weight="bold", fontsize=8)
        arrow(ax, (4.21, y + 0.5), (4.4, y + 0.5))
        end = tokens(ax, 4.46, y + 0.3, 5, style.SKY, size=(0.09, 0.4), gap=0.03)
        ax.text(end + 0.12, y + 0.5, "...", ha="center", va="center", fontsize=10)
        tokens(ax, end + 0.24, y + 0.3, 1, style.SKY, size=(0.09, 0.4))
        label(ax, 4.43, y - 0.14, f"{llm_tokens} ECG tokens {style.TIMES} {llm_width:,}")
        label(ax, 4.43, y - 0.32, f"= {passed:,} numbers", weight="bold")
        arrow(ax, (5.46, y + 0.5), (5.95, y + 0.5), color=style.BLUE, width=4.0)
        # both: question, LLM, answer
        for y, face, note, color in (
            (2.77, "#f2f2f2", "rephrases the tags", style.QUIET),
            (0.6, _PALE_GREEN, "the analysis is here", style.RED),
        ):
            box(ax, 6.0, y + 0.15, 1.0, 0.7, "language\nmodel", face, weight="bold")
            label(ax, 6.5, y - 0.14, note, color=color)
            box(ax, 5.92, y + 1.0, 1.16, 0.24, "question", "white", style.QUIET, fontsize=8)
            arrow(ax, (6.5, y + 1.0), (6.5, y + 0.86), color=style.QUIET, width=0.9)
            arrow(ax, (7.05, y + 0.5), (7.38, y + 0.5))
            box(ax, 7.42, y + 0.3, 0.78, 0.4, "answer", "white", style.QUIET)
    return fig


def figure2_scm() -> Figure:
    """Draw Figure 2: how questions are chosen, in the paper, by intervention, and in ECG-QA."""
    with style.use():
        fig, ax = canvas(9.3, 4.6)
        panels = (
            (0.15, "a", "As the paper tells it", "severity decides what is asked"),
            (3.3, "b", "After an intervention", "chance decides what is asked"),
            (6.45, "c", "As ECG-QA was drawn", "a program drew rows by their answer"),
        )
        for x, letter, title, says in panels:
            headed(ax, x, 4.4, letter, title, gap=0.25)
            label(ax, x + 0.25, 4.13, says, ha="left", fontsize=8.5)
        for x in (3.12, 6.27):
            ax.plot([x, x], [0.6, 4.5], color=style.FAINT, lw=0.8)
        _asking(ax, 1.55, "asks")
        _asking(ax, 4.7, "cut")
        _asking(ax, 7.85, "quota")
        path = r"$Q \leftarrow C \rightarrow E \rightarrow Y$"
        _below(ax, 1.55, "The question is linked to the ECG and its answer:", path, style.RED)
        formula = r"$P(Y\,|\,do(Q)) = \sum_c P(Y\,|\,Q, c)\,P(c)$"
        _below(ax, 4.7, "Adjusting for severity does the same:", formula)
        quota = "at most 100 yes, at most 200 no"
        _below(ax, 7.85, "For each question about one ECG, in training:", quota, style.RED)
        see = (
            "In (a) severity links the question to the ECG, and so to the answer. In (c) only the "
            "choice of rows links question and\nseverity, and all questions get much the same "
            "share of yes."
        )
        label(ax, 0.15, 0.24, see, ha="left", fontsize=8.5, color=style.INK, linespacing=1.4)
    return fig


def _below(ax: Axes, x: float, text: str, formula: str, color: str = style.INK) -> None:
    label(ax, x, 1.08, text, fontsize=8)
    label(ax, x, 0.78, formula, fontsize=9, color=color)


def _asking(ax: Axes, x: float, how: str) -> None:
    """Draw the graph of severity, question, ECG and answer, centred at x.

    `how` is "asks" (severity chooses the question), "cut" (that arrow is cut) or "quota" (rows are
    kept by their answer).
    """
    width, height = 0.98, 0.46
    top, bottom = height / 2 + 0.02, -height / 2 - 0.02  # where arrows touch a box
    drawn = how == "quota"
    severity, question, ecg = (x, 3.65), (x - 0.82, 2.7), (x + 0.82, 2.7)
    answer = (x + 0.36 if drawn else x, 1.72)
    into = answer[1] + top

    def down(start: tuple, end: tuple, aside: tuple[float, float], **look) -> tuple[float, float]:
        start, end = (start[0] + aside[0], start[1] + bottom), (end[0] + aside[1], end[1] + top)
        arrow(ax, start, end, **look)
        return (start[0] + end[0]) / 2, (start[1] + end[1]) / 2

    down(severity, ecg, (0.3, -0.1), width=1.4)
    down(question, answer, (0.1, -0.3), color=style.BLUE, width=1.8)
    down(ecg, answer, (-0.1, 0.3), color=style.BLUE, width=1.8)
    label(ax, answer[0], into + 0.34, "to be\nlearned", color=style.BLUE)
    if drawn:
        label(ax, x - 0.6, 3.2, "no arrow", ha="right")
        kept = x - 0.98, answer[1]
        down(question, kept, (-0.16, 0.0), color=style.RED, width=1.8)
        arrow(ax, (answer[0] - 0.51, kept[1]), (kept[0] + 0.4, kept[1]), style.RED, 1.8)
        box(ax, kept[0] - 0.37, kept[1] - 0.24, 0.74, 0.48, "", "white", style.RED)
        box(ax, kept[0] - 0.33, kept[1] - 0.2, 0.66, 0.4, "row\nkept?", "#fbe3d6", style.RED)
    elif how == "cut":
        middle = down(severity, question, (-0.3, 0.1), color="#bdbdbd", width=1.6, dashed=True)
        look: style.Look = {
            "marker": "x",
            "markersize": 12,
            "markeredgewidth": 2.4,
            "color": style.INK,
        }
        ax.plot(*middle, **look, zorder=5)
        label(ax, middle[0] - 0.2, middle[1] + 0.08, "cut", color=style.INK, ha="right")
    else:
        middle = down(severity, question, (-0.3, 0.1), color=style.RED, width=1.8)
        label(ax, middle[0] - 0.16, middle[1] + 0.06, "asks", color=style.RED, ha="right")
    for name, centre in (
        ("severity\nof illness  $C$", severity),
        ("question  $Q$", question),
        ("ECG  $E$", ecg),
        ("answer  $Y$", answer),
    ):
        face = "#f2f2f2" if centre == severity else _PALE_BLUE
        box(ax, centre[0] - width / 2, centre[1] - height / 2, width, height, name, face)
