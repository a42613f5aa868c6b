"""Test the blind test on ECG-QA's and ECG-Reasoning-Benchmark's real questions."""

import pytest

from ecg_lib.blind_test import blind_test
from ecg_lib.blind_test import verdict as verdicts
from ecg_lib.blind_test.blind_models import KNOWN
from ecg_lib.blind_test.blind_plan import Plan
from ecg_lib.blind_test.sources import from_benchmark, from_ecgqa
from ecg_lib.data.sources.ptbxl import PtbXl
from ecg_lib.data.store import EcgStore
from ecg_lib.data.write_store import write_store

EXPECTED = {
    "always-no": verdicts.BLIND,
    "question-only": verdicts.BLIND,
    "ill-only": verdicts.ILLNESS,
    "true-labels": verdicts.FINDINGS,
}


@pytest.fixture(scope="module")
def ptbxl(real_data, tmp_path_factory):
    """A store of the real PTB-XL ECGs at hand."""
    folder = tmp_path_factory.mktemp("ptbxl") / "store"
    write_store(folder, PtbXl(real_data / "ptbxl", intervals=False))
    return EcgStore.open(folder)


@pytest.fixture(scope="module", params=["benchmark", "ecgqa"])
def asked(request, real_data, ptbxl):
    """A set of real questions about real ECGs, and the plan of a test on all of them."""
    if request.param == "benchmark":
        file = real_data / "ecg-reasoning-benchmark" / "ptbxl.jsonl"
        questions = from_benchmark(file, ptbxl)
    else:
        questions = from_ecgqa(real_data / "ecg-qa", ptbxl, "train")
    return questions, Plan.of(questions, None, conditions=("own ECG", "random", "matched"))


@pytest.mark.parametrize("name", KNOWN)
def test_the_known_models_get_their_verdict_on_real_questions(asked, name):
    questions, plan = asked
    model = KNOWN[name](questions)
    result = blind_test(model, questions, plan=plan, resamples=200, progress=False)
    rule = result.verdict.rule
    # in the few rows of ECG-QA at hand, illness is worth too little to show
    few = name == "ill-only" and rule == verdicts.TOO_FEW and questions.name.startswith("ECG-QA")
    assert few or rule == EXPECTED[name], str(result.verdict)
    if questions.name.startswith("ECG-Reasoning"):
        cells = result.table[result.table["column"] == "finding"].set_index("row")["value"]
        assert cells["question, own ECG"] > cells["constant, own ECG"] + 10
        assert cells["question + ill, own ECG"] > cells["question, own ECG"]
        whole = result.table[result.table["column"] == "all questions"].set_index("row")["value"]
        assert 67 < whole["question, own ECG"] < 74 < whole["question + ill, own ECG"] < 79
