"""Test the blocks of docs that compare language models and profiles."""

import pandas as pd
import pytest

from ecg_lib.blind_test.blind_page import short_table
from ecg_lib.blind_test.verdict import judged
from ecg_lib.cli.pages import blind_block, verdicts_block
from ecg_lib.errors import DataError

COLUMN = "do(question)"


def blind(drops, anchor=60.0):
    """Return a table of the blind test; `drops`: model -> (random, matched), each +/- 2 points."""
    rows = [("ill, own ECG", anchor), ("ill, random drop", 10.0), ("ill, matched drop", 0.0)]
    for model, (random, matched) in drops.items():
        rows += [(f"{model}, own ECG", 70.0), (f"{model}, random drop", random)]
        rows += [(f"{model}, matched drop", matched)]
    cells = [(row, COLUMN, value, 200, value - 2, value + 2) for row, value in rows]
    return pd.DataFrame(cells, columns=["row", "column", "value", "n", "ci_low", "ci_high"])


def test_a_verdict_is_read_off_a_table():
    table = blind({"sees": (20, 10), "half": (20, 0), "none": (0, 0), "unclear": (1, 1)})
    table.loc[table["row"] == "unclear, random drop", "ci_high"] = 9
    expected = ["reads findings", "reads illness only", "blind", "too few questions"]
    assert [judged(table, name).rule for name in ("sees", "half", "none", "unclear")] == expected
    assert judged(table, "sees", read=49.0).rule == "cannot be judged"


def test_anchors_and_known_models_stand_once_and_arms_once_per_language_model():
    small = blind({"de-biased": (20, 10), "ill only": (10, 0)})
    large = blind({"de-biased": (0, 0), "ill only": (10, 0)}, anchor=61.0)
    lines = short_table({"tiny": small, "large": large}).splitlines()
    told = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]
    assert [line[:2] for line in told] == [
        ["de-biased", "tiny"],
        ["de-biased", "large"],
        ["ill only", ""],
        ["ill", ""],
    ]
    assert [line[-1] for line in told] == ["reads findings", "blind", "reads illness only", ""]
    assert told[3][2] == "60.0 (58.0-62.0)"  # of the first table
    assert told[0][3:5] == ["20.0 (18.0-22.0)", "10.0 (8.0-12.0)"]


def claims(folder, verdicts):
    folder.mkdir()
    names = [f"Claim {n}" for n in range(len(verdicts))]
    table = {"claim": names, "statement": names, "verdict": verdicts}
    twice = pd.concat([pd.DataFrame(table)] * 2)  # a claim has several rows, one verdict
    twice.to_csv(folder / "claims.csv", index=False)


def test_verdicts_of_profiles_stand_side_by_side(tmp_path):
    claims(tmp_path / "demo", ["holds", "does not hold"])
    claims(tmp_path / "smollm", ["does not hold"])
    lines = verdicts_block(tmp_path).splitlines()
    assert lines[0].split(" | ")[1:] == [
        "[demo](../results/demo/claims.md)",
        "[smollm](../results/smollm/claims.md) |",
    ]
    assert lines[2:] == [
        "| Claim 0 | holds | does not hold |",
        "| Claim 1 | does not hold |  |",
    ]


@pytest.mark.parametrize("block", [blind_block, verdicts_block])
def test_a_missing_table_of_demo_is_reported(block, tmp_path):
    with pytest.raises(DataError, match="demo"):
        block(tmp_path)
