"""The benchmark measures what it says, on sizes that a CPU can do."""

import numpy as np
import pandas as pd
import pytest

from ecg_lib import paths
from ecg_lib.__main__ import main
from ecg_lib.config import compose
from ecg_lib.errors import ConfigError
from ecg_lib.training import benchmark as b
from ecg_lib.training.cost import stage_cost
from ecg_lib.training.shapes import ecg_llm_shape


@pytest.fixture(scope="module")
def smoke():
    return compose("smoke")


def test_every_part_is_measured_on_rows_of_the_asked_length(smoke):
    load = b.Load(batch=2, steps=2, warm_up=0, ecgs=2, words=12, answer=3)
    table = b.benchmark(smoke, load, "cpu").set_index("part")
    slots = 2 * b.config_slots(smoke)
    assert list(table.index) == [b.CONTRASTIVE, b.STAGE, b.ANSWERS]
    assert table.loc[[b.STAGE, b.ANSWERS], "tokens a sample"].eq(slots + 12).all()
    assert np.allclose(table["tokens/s"], table["samples/s"] * table["tokens a sample"])
    cost = stage_cost(ecg_llm_shape(smoke), slots, 12, 3)
    train, ask = table.loc[b.STAGE], table.loc[b.ANSWERS]
    assert train["Tflop/s"] == pytest.approx(train["samples/s"] * cost.step_flops / 1e12)
    assert ask["Tflop/s"] == pytest.approx(ask["samples/s"] * cost.forward_flops / 1e12)
    assert table[["share of peak", "memory GB"]].isna().all(axis=None)  # no GPU, no claim


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA GeForce RTX 4090", 165),
    ],
)
def test_the_peak_is_that_of_the_gpu_s_kind(monkeypatch, name, peak):
    monkeypatch.setattr(b, "device_name", lambda device: name)
    assert b.peak_tflops("cuda") == peak


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"steps": 0}, {"words": 8, "answer": 8}])
def test_impossible_loads_are_refused(smoke, wrong):
    with pytest.raises(ConfigError, match=r"^--\w+"):
        b.benchmark(smoke, b.Load(**wrong), "cpu")


def test_the_table_is_printed_and_written_by_hardware(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(paths, "results_dir", lambda profile: tmp_path / profile)
    assert (
        main(
            [
                "benchmark",
                "smoke",
                "--batch",
                "2",
                "--steps",
                "1",
                "--warm-up",
                "0",
                "--words",
                "12",
                "--answer",
                "3",
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    table = pd.read_csv(tmp_path / "benchmarks" / "smoke-cpu.csv")
    assert len(table) == 3 and set(table["hardware"]) == {"CPU"}
    assert "results/benchmarks/smoke-cpu.csv" in capsys.readouterr().out
