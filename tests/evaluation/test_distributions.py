"""Test that measurements of ECGs are right, and that simulated and real normals measure alike."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from ecg_lib.data.record import EcgRecord, Rows
from ecg_lib.data.simulated.cohort import SimulatedCohort
from ecg_lib.data.sources.ptbxl import PtbXl
from ecg_lib.data.write_store import write_store
from ecg_lib.errors import DataError
from ecg_lib.evaluation.distributions import (
    CALIBRATION,
    HELD_OUT,
    REAL,
    SIMULATED,
    UNITS,
    compare_normals,
    features_of,
    normals,
    quantile_table,
    record_features,
)
from ecg_lib.report import style
from ecg_lib.report.figures.simulator_quantiles import simulator_quantiles
from ecg_lib.signal.leads import LEADS


def ecg(axis=40.0, chest=(0.2, 0.4, 0.8, 1.3, 1.2, 1.0), fs=100):
    """Return 12 leads (mV) of a heart with P, QRS and T at one frontal angle and an R of 1 mV."""
    t = np.arange(10 * fs) / fs
    away = (t + 0.4) % 0.8 - 0.4
    waves = [(0.12, -0.16, 0.02), (1.0, 0.0, 0.014), (0.3, 0.27, 0.04)]
    wave = sum(mv * np.exp(-0.5 * ((away - at) / sd) ** 2) for mv, at, sd in waves)
    one, two = (np.cos(np.radians(axis - lead)) * wave for lead in (0, 60))
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.stack([*limb, *(scale * wave for scale in chest)])


def test_axis_and_amplitudes_are_those_of_the_heart():
    for axis in (-20.0, 0.0, 40.0, 75.0):
        found = record_features(ecg(axis))
        assert found["axis"] == pytest.approx(axis, abs=1)
        assert found["R I"] == pytest.approx(max(np.cos(np.radians(axis)), 0), abs=0.03)
    assert [found[f"R {lead}"] for lead in LEADS[6:]] == pytest.approx(
        [0.2, 0.4, 0.8, 1.3, 1.2, 1.0], abs=0.05
    )
    assert found["T V4"] == pytest.approx(0.3 * 1.3, abs=0.03)
    assert found["RR"] == pytest.approx(800, abs=2)


def test_a_shifted_baseline_and_one_odd_beat_change_no_amplitude():
    plain = ecg()
    moved = plain + 0.7
    moved[:, 390:415] += 2.0
    one, other = record_features(plain), record_features(moved)
    for lead in LEADS:
        assert other[f"R {lead}"] == pytest.approx(one[f"R {lead}"], abs=0.03)


def test_an_ecg_without_beats_is_a_row_of_gaps():
    features = features_of(np.stack([ecg(), np.zeros((12, 1000))]))
    assert list(features.columns) == list(UNITS)
    assert features.iloc[0].notna().all() and features.iloc[1].isna().all()


def test_quantiles_count_only_what_was_measured():
    features = pd.DataFrame(np.nan, index=range(11), columns=list(UNITS))
    features["RR"] = [*range(700, 1000, 30), np.nan]
    table = quantile_table({(SIMULATED, ""): features}).set_index("feature")
    assert table.loc["RR", "n"] == 10 and table.loc["PR", "n"] == 0
    assert table.loc["RR", ["p10", "p50", "p90"]].tolist() == [727, 835, 943]
    assert table.loc["RR", "unit"] == "ms" and np.isnan(table.loc["PR", "p50"])


class Source:
    """Normal ECGs whose axis identifies their fold."""

    name, version = "folds", "1"

    def index(self):
        return [1, 6, 7, 10, None]

    def item_name(self, fold):
        return f"folds/{fold}"

    def read(self, fold):
        known = {} if fold is None else {"strat_fold": fold}
        signal = ecg(5.0 * (fold or 15)).astype(np.float32)
        return EcgRecord(
            self.item_name(fold), f"{fold}", signal, labels={"NORM": 100.0}, attributes=known
        )


def test_held_out_folds_are_never_mixed_with_those_for_calibration(tmp_path):
    store = write_store(tmp_path / "store", Source())
    axes = {held: normals(store, 9, held_out=held)["axis"].round() for held in (False, True, None)}
    assert sorted(axes[False]) == [5, 30] and sorted(axes[True]) == [35, 50]
    assert len(axes[None]) == 5


class Normals(PtbXl):
    """Normal ECGs of PTB-XL: 100 for calibration, 30 held out."""

    def index(self):
        table = super().index().table
        normal = table[table["listed"].eq(True) & table["scp_codes"].str.contains("'NORM'")]
        parts = [
            normal[normal["strat_fold"] <= 6].sample(100, random_state=0),
            normal[normal["strat_fold"] > 6].sample(30, random_state=0),
        ]
        return Rows(pd.concat(parts).sort_values("ecg_id", ignore_index=True))


@pytest.fixture(scope="module")
def compared(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    real = write_store(folder / "real", Normals(real_data, intervals=False))
    simulated = write_store(folder / "simulated", SimulatedCohort(180, seed=21))
    return compare_normals(simulated.mv(simulated.rows(normal=True)), [simulated, real], n=100)


def cells(table, source, split=""):
    return table[(table["source"] == source) & (table["split"] == split)].set_index("feature")


def test_medians_of_simulated_normals_are_those_of_real_ones(compared):
    """The limits are the precision of reading ECG paper (1 mm is 40 ms and 0.1 mV).

    They are half a mm for waves and two mm for RR and for amplitudes, whose median over 100 ECGs
    itself has a standard error of 0.03-0.06 mV. Readers usually differ by 15 degrees on an axis.
    """
    limits = {"RR": 80, "PR": 20, "QRS": 20, "QT": 20, "axis": 15}
    limits |= {f"R {lead}": 0.2 for lead in LEADS}
    simulated, real = cells(compared, SIMULATED), cells(compared, REAL, CALIBRATION)
    off = (simulated["p50"] - real["p50"]).abs()
    assert {f: round(off[f], 2) for f, limit in limits.items() if off[f] > limit} == {}


def test_simulated_normals_differ_from_each_other_as_much_as_real_ones_do(compared):
    """The interquartile range is between half and twice that of real ECGs.

    QRS is exempt: on lead II NeuroKit2 hardly distinguishes one normal QRS duration from another
    (test_simulate_reality.py).
    """
    simulated, real = cells(compared, SIMULATED), cells(compared, REAL, CALIBRATION)
    ratio = (simulated["p75"] - simulated["p25"]) / (real["p75"] - real["p25"])
    asked = ["RR", "PR", "QT", "axis", *(f"R {lead}" for lead in LEADS)]
    assert {f: round(ratio[f], 2) for f in asked if not 0.5 < ratio[f] < 2} == {}


def test_most_ecgs_can_be_measured(compared):
    enough = {SIMULATED: 90, CALIBRATION: 90, HELD_OUT: 27}
    for row in compared.itertuples():
        assert row.n >= enough[row.split or row.source], (row.feature, row.source)


def table(seed=0):
    rng = np.random.default_rng(seed)
    groups = [(SIMULATED, ""), (REAL, CALIBRATION), (REAL, HELD_OUT)]
    return quantile_table(
        {g: pd.DataFrame(rng.normal(1, 0.3, (40, len(UNITS))), columns=list(UNITS)) for g in groups}
    )


def test_the_figure_shows_all_groups_units_and_medians():
    fig = simulator_quantiles(table(), "simulated cohort")
    text = [t.get_text() for t in fig.findobj(matplotlib.text.Text)]
    for part in ("simulated", "real, calibration", "real, held out", "ms", "degrees", "V6"):
        assert part in text
    assert "R amplitude (mV)" in text and "simulated cohort" in " ".join(text)
    dots = [
        line.get_ydata()[0]
        for ax in fig.findobj(matplotlib.axes.Axes)
        for line in ax.lines
        if line.get_marker() == "o"
    ]
    drawn = table()
    drawn = drawn[drawn["feature"].str.fullmatch(r"RR|PR|QRS|QT|axis|R .*")]
    assert sorted(dots) == pytest.approx(sorted(drawn["p50"]))


def test_no_text_of_the_figure_is_cut_off():
    fig = simulator_quantiles(table(), "simulated cohort")
    with style.use():
        fig.draw_without_rendering()
        box = fig.get_tightbbox()
    width, height = fig.get_size_inches()
    assert box.x0 >= -0.01 and box.x1 <= width + 0.01
    assert box.y0 >= -0.01 and box.y1 <= height + 0.01


def test_figures_without_data_are_refused():
    with pytest.raises(DataError, match="no column"):
        simulator_quantiles(table().drop(columns="p25"))
    with pytest.raises(DataError, match="R waves of some leads"):
        simulator_quantiles(table().query("feature != 'R V6'"))
