"""Test the published numbers of K-MERL and MERL: complete, as printed, oddities included."""

import pytest

from ecg_lib.errors import DataError
from ecg_lib.evaluation.label_defects import published_tasks
from ecg_lib.report.kmerl_reference import kmerl_names, kmerl_rows, linear_probing, merl_rows

OURS, MERL = "K-MERL (Ours)", "MERL (ResNet)"


def wide():
    return linear_probing().pivot(index="method", columns=["set", "share"], values="value")


def test_all_tables_are_there_and_every_cell_is_given_once():
    assert [name.split("_")[0] for name in kmerl_names()] == [
        *(f"table{n}" for n in range(1, 7)),
        "text",
    ]
    for name in kmerl_names():
        table = kmerl_rows(name)
        cell = ["table", "row", "column", *(["value"] if name.startswith("table5") else [])]
        assert not table.duplicated(cell).any(), name  # table 5 prints names twice
        assert (table["value"].str.strip() == table["value"]).all() and (table["value"] != "").all()
    assert len(kmerl_rows("table1")) == 15 * 18


def test_table_1_names_the_evaluation_sets():
    table = linear_probing()
    assert set(table["set"]) == {task.title for task in published_tasks()}
    assert set(table["share"]) == {0.01, 0.1, 1.0} and table["value"].between(40, 100).all()


def test_table_1_has_its_known_oddities():
    table = wide()
    same = table.loc["ST-MEM", "PTBXL-Super"], table.loc["ST-MEM", "CSN"]
    assert [part[0.1] for part in same] == [66.87] * 2 and [part[1.0] for part in same] == [
        71.36
    ] * 2
    random = table.loc["Random Init (CNN)"]
    assert random["PTBXL-Sub", 0.01] == random["PTBXL-Form", 0.01] == 55.82
    falling = [
        (method, name)
        for method in table.index
        for name in table.columns.levels[0]
        if not table.loc[method, name].sort_index().is_monotonic_increasing
    ]
    assert sorted(falling) == [
        ("CLOCS", "CPSC2018"),
        ("CRT", "PTBXL-Super"),
        ("MoCo-v3", "CPSC2018"),
        ("SimSiam", "PTBXL-Super"),
    ]


def test_most_of_k_merls_gain_over_merl_lies_in_two_cells():
    gain = (wide().loc[OURS] - wide().loc[MERL]).sort_values(ascending=False)
    assert gain.index[:2].tolist() == [("PTBXL-Rhythm", 0.01), ("CSN", 1.0)]
    assert gain.iloc[:2].round(1).tolist() == [10.4, 5.8]
    assert gain.median() == pytest.approx(1.7, abs=0.05) and len(gain) == 18


def test_the_full_model_has_one_value_in_every_ablation():
    full = {"1 lead": 71.61, "12 leads": 76.52}
    for name, row in (
        ("table2", "K-MERL (full)"),
        ("table2", "Med-CPT"),
        ("table6", "Llama3.1-70B-Instruct"),
        ("table6", "4 layers"),
        ("table6", "4 heads"),
    ):
        cells = kmerl_rows(name).query("row == @row").set_index("column")["number"]
        assert cells.to_dict() == full, (name, row)


def test_table_5_repeats_five_of_its_names():
    names = kmerl_rows("table5")["row"]
    assert len(names) == 35 and names.nunique() == 30
    text = kmerl_rows("text").set_index(["row", "column"])["number"]
    assert text["seen and unseen", "overlapping entities"] == 35
    printed = text["seen and unseen", "overlap % (as printed)"]
    assert printed == 12.7 and round(100 * 35 / text["entities", "final entities Q"], 1) == 12.6


def test_every_number_of_merl_says_where_it_is_from():
    table = merl_rows()
    assert (table["source"] != "").all()
    probing = table.query("table == 'merl linear probing' and row == @MERL")
    assert probing["number"].tolist() == wide().loc[MERL, probing["column"].map(key)].tolist()


def key(column):
    name, _, share = column.rpartition(" ")
    return name, float(share.rstrip("%")) / 100


def test_an_unknown_table_is_answered_with_those_there_are(tmp_path):
    with pytest.raises(DataError, match="'table7' names 0 tables.*table1_linear_probing"):
        kmerl_rows("table7")
    with pytest.raises(DataError, match="'table' names 6 tables"):
        kmerl_rows("table")
    with pytest.raises(DataError, match=r"merl_published\.csv: no such file"):
        merl_rows(tmp_path)
