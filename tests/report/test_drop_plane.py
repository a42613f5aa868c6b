"""Tests that the plot of two drops shows every arm and anchor once, at the right place."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from ecg_lib.arm_table import ARMS
from ecg_lib.baselines.anchors import ANCHORS
from ecg_lib.errors import DataError
from ecg_lib.report import style
from ecg_lib.report.figures.drop_plane import drop_plane, points

TITLES = [arm.title for arm in ARMS.values()]
PLACES = dict(zip(ANCHORS, [(0, 0), (0, 0), (26, 0), (27, 0), (50, 41)], strict=True)) | {
    title: (12 + 3 * k, 4 + 2 * k) for k, title in enumerate(TITLES)
}


def table(**more):
    cells = [
        {
            "row": f"{who}, {donor} drop",
            "column": column,
            "value": float(value),
            "ci_low": value - 1.0,
            "ci_high": value + 1.0,
        }
        for who, place in (PLACES | more).items()
        for donor, value in zip(("random", "matched"), place, strict=True)
        for column in ("S-Verify", "average")
    ]
    cells.append({**cells[0], "row": "de-biased, flat line drop", "value": 99.0})
    cells.append({**cells[0], "row": "de-biased, own ECG", "value": 77.0})
    return pd.DataFrame(cells)


def marks(fig):
    """Return the position of every single mark, with repeats."""
    lines = [line.get_xydata() for line in fig.axes[0].lines]
    return sorted(tuple(xy[0]) for xy in lines if len(xy) == 1)


def test_every_arm_and_every_anchor_is_one_mark_at_its_two_drops():
    fig = drop_plane(table())
    assert marks(fig) == sorted((float(x), float(y)) for x, y in PLACES.values())
    said = " ".join(text.get_text() for text in fig.findobj(matplotlib.text.Text))
    assert all(who in said for who in PLACES)


def test_both_intervals_of_every_point_are_drawn():
    fig = drop_plane(table())
    ends = {tuple(map(tuple, line.get_xydata())) for line in fig.axes[0].lines}
    for x, y in PLACES.values():
        assert ((x - 1.0, y), (x + 1.0, y)) in ends and ((x, y - 1.0), (x, y + 1.0)) in ends


def test_the_axes_hold_all_and_the_diagonal_is_one():
    fig = drop_plane(table(), column="average")
    ax = fig.axes[0]
    assert ax.get_xlim() == ax.get_ylim() and ax.get_aspect() == 1
    assert ax.get_xlim()[0] < 0 and ax.get_xlim()[1] > 51
    diagonal = ax.lines[0].get_xydata()
    assert np.array_equal(diagonal[:, 0], diagonal[:, 1])


def test_no_text_is_cut_off():
    fig = drop_plane(table(), "simulated cohort, tiny LLM")
    with style.use():
        fig.draw_without_rendering()
        drawn = fig.get_tightbbox()  # inches
    width, height = fig.get_size_inches()
    assert drawn.x0 >= -0.01 and drawn.x1 <= width + 0.01
    assert drawn.y0 >= -0.01 and drawn.y1 <= height + 0.01


def test_a_missing_drop_removes_the_point_and_no_points_is_an_error():
    whole = table()
    part = whole[whole["row"] != "ill, matched drop"]
    assert "ill" not in points(part).index and len(points(part)) == len(PLACES) - 1
    with pytest.raises(DataError, match="measure both"):
        drop_plane(whole[whole["row"].str.endswith("random drop")])


def test_no_name_of_an_anchor_hides_an_arm():
    fig = drop_plane(table(**{"alignment only": (2.8, 2.4)}))
    fig.canvas.draw()
    ax = fig.axes[0]
    at = ax.transData.transform([2.8, 2.4])
    names = [t for t in ax.texts if "constant" in t.get_text()]
    assert names and not any(t.get_window_extent().contains(*at) for t in names)
