"""Figures 1 and 2, drawn afresh: two ways to show an ECG to a language model; the confounder."""

from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ecg_lib.report import style
from ecg_lib.report.schematics import arrow, box, canvas, ecg_tile, headed, label, tokens

_PALE_BLUE, _PALE_ORANGE, _PALE_GREEN = "#dcebf6", "#fdebc8", "#d9f0e8"
_TAGS = ("sinus rhythm", "left axis deviation", "long qt-interval")  # a classifier's output


def figure1_tags_v_embeddings(
    tag_vocabulary: int = 71, llm_tokens: int = 25, llm_width: int = 4096
) -> Figure:
    """Figure 1: an ECG reaches the language model as a few tags, or as embeddings.

    Parameters
    ----------
    tag_vocabulary : int
        How many tags the classifier knows; each is present or absent.
    llm_tokens, llm_width : int
        ECG tokens that reach the language model and the numbers in each.
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
    """Figure 2: severity of illness confounds question and answer; intervention cuts its arrow."""
    with style.use():
        fig, ax = canvas(8.4, 4.3)
        for x, letter, title in (
            (0.2, "a", "Observed"),
            (2.95, "b", "After intervention"),
            (5.75, "c", "As the paper tells it"),
        ):
            headed(ax, x, 4.07, letter, title)
        _graph(ax, 1.35, cut=False)
        _graph(ax, 4.1, cut=True)
        label(ax, 1.35, 0.72, r"$P(Y\,|\,X)$ mixes both paths:", color=style.INK, fontsize=8.5)
        paths = r"$X \rightarrow Y$  and  $X \leftarrow C \rightarrow Y$"
        label(ax, 1.35, 0.4, paths, color=style.INK, fontsize=9)
        label(ax, 4.1, 0.72, "backdoor adjustment:", color=style.INK, fontsize=8.5)
        formula = r"$P(Y\,|\,do(X)) = \sum_c P(Y\,|\,X, c)\,P(c)$"
        label(ax, 4.1, 0.36, formula, color=style.INK, fontsize=9)
        for x in (2.75, 5.53):
            ax.plot([x, x], [0.2, 4.1], color=style.FAINT, lw=0.8)
        broad = "Is anything at all wrong\nwith my tracing?"
        _speech(ax, 2.32, "A healthy visitor asks broadly", broad, "No.", style.GREEN)
        by_name = "Is the right bundle branch\nblock still to be seen?"
        _speech(ax, 0.62, "A patient asks by name", by_name, "Yes.", style.RED)
        label(ax, 7.0, 0.36, "ECG-QA: see the figure of worlds.", color=style.INK)
    return fig


def _graph(ax, x: float, cut: bool) -> None:
    """C over X and Y, centred at x; the arrow from C to X cut or not."""
    nodes = {"C": (x, 3.22), "X": (x - 0.78, 1.75), "Y": (x + 0.78, 1.75)}
    radius = 0.27

    def link(a: str, b: str, **look) -> None:
        (xa, ya), (xb, yb) = nodes[a], nodes[b]
        length = ((xb - xa) ** 2 + (yb - ya) ** 2) ** 0.5
        dx, dy = (xb - xa) / length * (radius + 0.04), (yb - ya) / length * (radius + 0.04)
        arrow(ax, (xa + dx, ya + dy), (xb - dx, yb - dy), **look)

    link("X", "Y", color=style.BLUE, width=2.4)
    link("C", "Y", color=style.RED, width=1.6)
    if cut:
        link("C", "X", color="#bdbdbd", width=1.6, dashed=True)
        middle = (x - 0.39, 2.485)
        ax.plot(*middle, marker="x", markersize=15, markeredgewidth=2.8, color=style.INK, zorder=5)
    else:
        link("C", "X", color=style.RED, width=1.6)
    faces = {"C": "#fbe3d6", "X": _PALE_BLUE, "Y": _PALE_BLUE}
    for name, centre in nodes.items():
        ax.add_patch(Circle(centre, radius, facecolor=faces[name], edgecolor=style.INK, lw=1.1))
        ax.text(*centre, f"${name}$", ha="center", va="center", fontsize=12)
    label(ax, x, 3.66, "severity of illness", color=style.INK)
    label(ax, x - 0.78, 1.24, "ECG and\nquestion", color=style.INK)
    label(ax, x + 0.78, 1.3, "answer", color=style.INK)
    label(ax, x, 1.9, "wanted", color=style.BLUE)
    side = ("shortcut", style.RED) if not cut else ("cut", style.INK)
    label(ax, x - (0.62 if cut else 0.52), 2.66, side[0], color=side[1], ha="right")


def _speech(ax, y: float, title: str, question: str, answer: str, color: str) -> None:
    """A question and its answer as two speech bubbles under a title; y is the foot."""
    ax.text(5.75, y + 1.38, title, fontsize=8.5, weight="bold", color=color, va="center")
    box(ax, 5.75, y + 0.62, 2.1, 0.58, question, "#f6f6f6", style.QUIET)
    box(ax, 7.3, y + 0.12, 0.9, 0.36, answer, "white", color, weight="bold", color=color)
    ax.plot([5.82, 5.82], [y + 0.7, y + 1.12], color=color, lw=2.5, solid_capstyle="butt")
