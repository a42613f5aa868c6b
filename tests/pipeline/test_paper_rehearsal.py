"""Rehearsal of the paper profile at tiny size: its folders, its model types and all notebooks."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from paper_folders import MIMIC_ABSENT, WORDS, ZERO_SHOT, write_data_root
from paper_models import llama_tokenizer, save_bert, save_llama
from pipeline_fixtures import REPO, make_clone
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from ecg_lib.cli.notebook import all_names
from ecg_lib.config import compose_values
from ecg_lib.ecg_llm.answering import CLOSED, first_token_scores, read_rows
from ecg_lib.ecg_llm.frozen_llm import load_llm
from ecg_lib.ecg_llm.model import EcgLlmConfig
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.knowledge.zero_shot_labels import DATASETS
from ecg_lib.questions.ecgqa_rows import read_ecgqa
from ecg_lib.questions.schema import SHORT_NAMES
from ecg_lib.report.tables import COLUMNS

in_one_worker = pytest.mark.xdist_group("rehearsal")
PLACES = {"data.root", "llm.name_or_path", "text_encoder.name_or_path"}
SIZES = """
data.workers=1 evaluation.resamples=50 evaluation.examples=150 evaluation.normals=15
encoder.width=32 encoder.depth=2 encoder.heads=2 encoder.mlp=64
objective.width=32 objective.batch_size=16 objective.epochs=15
simulated.objective.ecgs=64 simulated.objective.batch_size=16
stage1.epochs=1 stage2.epochs=1 fusion.width=16 fusion.depth=1 fusion.heads=2 fusion.epochs=1
questions.per_answer=1 questions.per_answer_test=1
evaluation.interventional=2 evaluation.interventional_rows=60
""".split()
STUDIES = {name for name, asked in compose_values("paper").stages.items() if asked}
NOTEBOOKS = [n for n in all_names() if n.startswith("debiased/") or Path(n).name in STUDIES]
ARMS = ("de-biased", "control", "weighted", "none")
# Tables in which every cell has a number. In the others, too few positives can leave a cell n/a.
WHOLE = (
    "ecgqa_differences",
    "exact_match_variants",
    "interventional",
    "question_only",
    "random_ecg_differences",
    "retrieval",
    "severity_drops",
    "table2_training",
    "table3_ecgqa",
    "table5_random_ecg",
    "wordings",
    "zero_shot_counts",
)
PARTLY = (
    "cohort",
    "debias_audit",
    "leakage_audit",
    "simulated_to_real",
    "table1_bias",
    "table4_zero_shot",
    "within_illness",
    "zero_shot_illness",
    "zero_shot_summary",
)


def digest(folder):
    """Map each file of a folder to its digest."""
    return {
        file.relative_to(folder): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def paper(tmp_path_factory):
    """A clone that ran all notebooks in the paper profile, with only sizes and paths changed."""
    data = tmp_path_factory.mktemp("data")
    counts = write_data_root(data)
    texts = read_ecgqa(data / "ecg-qa" / "ecgqa")["question"].tolist()
    llm = save_llama(data / "models" / "llama", texts)
    bert = save_bert(data / "models" / "bert", texts)
    clone = make_clone(tmp_path_factory.mktemp("paper"))
    before = {place: digest(place) for place in (llm, REPO / "results", REPO / "figures")}
    places = [f"data.root={data}", f"llm.name_or_path={llm}", f"text_encoder.name_or_path={bert}"]
    clone.run("python", "-m", "ecg_lib.config", "paper", *places, *SIZES)
    clone.run(
        "python", "-m", "ecg_lib.cli.notebook", *NOTEBOOKS
    )  # in the order of the stages in dvc.yaml
    clone.run(
        "python", "-m", "ecg_lib.cli.pretrain_llm", "look_ups"
    )  # the stage that has no notebook
    return SimpleNamespace(
        clone=clone,
        folder=clone.folder,
        data=data,
        llm=llm,
        before=before,
        counts=SimpleNamespace(**counts),
    )


def ours(paper, name):
    """Return our own rows of a table, without the published ones."""
    table = pd.read_csv(paper.folder / "results" / "paper" / f"{name}.csv")
    return table[table["source"] == "ours"]


@pytest.mark.slow
@in_one_worker
def test_it_is_the_paper_s_profile_but_for_sizes_and_places(paper):
    def flat(values, prefix=""):
        for key, value in values.items():
            inner = isinstance(value, dict)
            yield from flat(value, f"{prefix}{key}.") if inner else [(prefix + key, value)]

    both = OmegaConf.load(paper.folder / "params.yaml"), compose_values("paper")
    ran, meant = (dict(flat(OmegaConf.to_container(v, resolve=True))) for v in both)
    changed = {key for key in ran if ran[key] != meant[key]}
    assert changed <= PLACES | {size.partition("=")[0] for size in SIZES}
    assert ran["llm.gradient_checkpointing"] and ran["stage1.bf16"] and ran["objective.bf16"]
    assert ran["llm.dtype"] == "bfloat16" and ran["evaluation.max_rows"] is None


@pytest.mark.slow
@in_one_worker
def test_every_notebook_ran_and_wrote_what_it_declares(paper):
    executed = sorted((paper.folder / "executed" / "paper").glob("*.ipynb"))
    assert {path.stem for path in executed} == {Path(name).name for name in NOTEBOOKS}
    outs = paper.clone.outs()  # DVC fails a stage that lacks one of them
    assert not [out for out in outs if not out.exists()]
    assert not [out for out in outs if out.is_dir() and not any(out.iterdir())]
    figures = [out for out in outs if out.suffix == ".png"]
    assert len(figures) > 15 and min(figure.stat().st_size for figure in figures) > 3000


@pytest.mark.slow
@in_one_worker
def test_no_result_holds_an_id_a_date_or_a_word_of_a_credentialed_report(paper):
    listed = pd.read_csv(next(paper.data.rglob("record_list.csv")), dtype=str)
    secrets = {*listed["study_id"], *listed["subject_id"], *listed["ecg_time"], WORDS}
    made = [*(paper.folder / "results/paper").rglob("*")]
    made += (paper.folder / "figures/paper").rglob("*")
    made += sorted((paper.folder / "notebooks").rglob("*.ipynb"))
    for file in filter(Path.is_file, made):
        text = file.read_bytes().decode("latin-1").lower()
        assert not [secret for secret in secrets if secret.lower() in text], file.name


@pytest.mark.slow
@in_one_worker
def test_nothing_but_the_paper_s_own_folders_was_written(paper):
    for place, before in paper.before.items():
        assert digest(place) == before, place
    said = paper.clone.run("git", "status", "--porcelain", "-uall").stdout.splitlines()
    own = ("?? results/paper/", "?? figures/paper/")
    assert [line for line in said if not line.startswith(own)] == [" M params.yaml"]


@pytest.mark.slow
@in_one_worker
def test_the_cohorts_are_those_of_the_folders_and_what_was_dropped_is_counted(paper):
    cohort = ours(paper, "cohort").pivot(index="row", columns="column", values="value")
    mimic, counts = cohort.loc["MIMIC-IV-ECG"], paper.counts
    assert (mimic["ECGs"], mimic["quarantined"]) == (counts.mimic["kept"], counts.mimic["dropped"])
    assert mimic["not at hand"] == MIMIC_ABSENT
    assert cohort.loc["PTB-XL", "ECGs"] == counts.questions["ecgs"]
    assert cohort.loc["PTB-XL", "quarantined"] == 1
    assert cohort.loc[["LUDB", "Shaoxing", "CPSC"], "ECGs"].eq(ZERO_SHOT).all()
    reasons = pd.read_csv(paper.folder / "data/paper/cohorts/mimic-iv-ecg/quarantine.csv")
    assert set(reasons["reason"]) == {"report under three words"}


@pytest.mark.slow
@in_one_worker
def test_the_questions_are_ecg_qa_s_rows_and_no_others(paper):
    counts, kept = paper.counts.questions, {}
    for split in ("train", "valid", "test"):
        rows = pd.read_parquet(paper.folder / f"data/paper/questions/{split}.parquet")
        theirs = read_ecgqa(paper.data / "ecg-qa" / "ecgqa", split=split)
        kept[split] = len(rows)
        assert set(rows["question"]) <= set(theirs["question"])
        assert set(rows["sample_id"]) <= set(theirs["sample_id"])
    assert kept == counts["kept"] and counts["dropped"] > 0
    told = executed_text(paper, "03_bias")
    assert f"train          267539     {kept['train'] + counts['dropped']}  {kept['train']}" in told
    scored = ours(paper, "table3_ecgqa").groupby("row")["n"].sum()
    assert scored.eq(kept["test"]).all() and len(scored) == 14  # four of them anchors


def executed_text(paper, name):
    """Return all plain text that an executed notebook shows."""
    book = nbformat.read(paper.folder / "executed" / "paper" / f"{name}.ipynb", as_version=4)
    shown = [output for cell in book.cells for output in cell.get("outputs", [])]
    return "\n".join(o.get("text") or o.get("data", {}).get("text/plain", "") for o in shown)


@pytest.mark.slow
@in_one_worker
@pytest.mark.parametrize("name", [*WHOLE, *PARTLY])
def test_every_table_has_its_columns_and_finite_numbers(paper, name):
    table = ours(paper, name)
    assert list(table.columns) == list(COLUMNS) and len(table) >= 4
    assert set(table["profile"]) == {"paper"}
    numbers = table["value"].dropna()
    assert np.isfinite(numbers).all() and len(numbers) > (0 if name in PARTLY else len(table) - 1)
    told = table.dropna(subset=["ci_low", "ci_high"])
    assert (told["ci_low"] <= told["ci_high"]).all()


@pytest.mark.slow
@in_one_worker
def test_tables_3_to_5_have_all_arms_types_and_data_sets(paper):
    table3 = ours(paper, "table3_ecgqa")
    assert set(table3["column"]) == set(SHORT_NAMES.values())
    verify = table3[table3["column"].str.endswith("Verify")].set_index("row")["value"]
    # An untrained LLM that reads tags must not score zero only because of how it phrases answers.
    assert verify.loc["tags + LLM"].max() > 0 and verify.loc["true labels + LLM"].max() > 0
    table4 = ours(paper, "table4_zero_shot")
    titles = {row.partition(", ")[2] for row in table4["row"]}
    assert titles == set(DATASETS.values())
    enough = (table4["n"] >= 10) & enough_without(paper, table4)
    assert table4["value"].notna().equals(enough)
    assert table4.dropna(subset=["value"])["row"].nunique() == 8
    table5 = ours(paper, "table5_random_ecg")
    assert table5["row"].nunique() == (4 + 5) * 5  # arms and anchors
    assert set(ours(paper, "wordings")["column"]) == {"train wordings", "test wordings"}


def enough_without(paper, table4):
    """Return for each row of Table 4 whether at least ten ECGs of the data set lack the label."""
    counted = ours(paper, "zero_shot_counts").set_index(["row", "column"])
    without = (counted["n"] - counted["value"]).to_dict()
    cells = zip(table4["row"].str.partition(", ")[2], table4["column"], strict=True)
    return pd.Series([without[cell] >= 10 for cell in cells], table4.index)


@pytest.mark.slow
@in_one_worker
@pytest.mark.parametrize("arm", ARMS)
def test_language_model_and_encoder_stayed_frozen_and_the_rest_learnt(paper, arm):
    checkpoints = paper.folder / "checkpoints" / "paper"
    folder = checkpoints / "stage2" / arm
    named = EcgLlmConfig.from_pretrained(folder).language_model
    assert Path(folder, named).resolve() == paper.llm.resolve()
    assert {p.name for p in folder.rglob("*.safetensors")} == {
        "adapter_model.safetensors",
        "model.safetensors",
        "projector.safetensors",
    }
    clip = checkpoints / "encoder/clip/clip/ecg_encoder"
    before, now = (load_file(at / "model.safetensors") for at in (clip, folder / "encoder"))
    assert before.keys() == now.keys() and all(before[name].equal(now[name]) for name in before)
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    ups = [value for name, value in adapter.items() if "lora_B" in name]
    assert len(ups) == 2 * 2 and all(up.abs().max() > 0 for up in ups)  # q and k of two layers
    curve = pd.read_csv(folder / "curve.csv")
    assert np.isfinite(curve["loss"].dropna()).all()


@pytest.mark.slow
@in_one_worker
def test_tokens_are_kept_only_of_ecgs_that_are_asked_about(paper):
    kept = {folder.name for folder in (paper.folder / "checkpoints/paper/features").iterdir()}
    assert kept == {"ptb-xl", "ludb", "shaoxing", "cpsc"}


# -- a Llama-style tokeniser ----------------------------------------------------------------


@pytest.fixture(scope="module")
def processor():
    texts = ["yes no not sure Yes No Not what is there in this ECG"] * 50
    pieces = llama_tokenizer(texts, 350)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    return EcgLlmProcessor(tokenizer, slots=25)


def test_a_bare_space_is_no_answer(processor):
    words = processor.tokenizer
    space = words.convert_tokens_to_ids("▁")
    assert space in processor.verbaliser("yes") and space in processor.verbaliser("not sure")
    logits = torch.zeros(1, len(words))
    logits[0, space], logits[0, words.convert_tokens_to_ids("▁no")] = 9.0, 3.0
    p_yes, choice = first_token_scores(logits, processor)
    assert CLOSED[choice.item()] == "no" and p_yes.item() < 0.5


def test_the_prompt_can_be_shown_and_an_answer_read_back(processor):
    words, ids = processor.tokenizer, processor.prompt_ids("Is it 12 mm é?", 2)
    assert ids.count(processor.slot_id) == 50 and ids[0] == words.bos_token_id
    assert words.pad_token_id is None and processor.pad_id == words.eos_token_id
    shown = words.decode([i for i in ids if i != processor.slot_id], skip_special_tokens=True)
    assert shown.startswith("Here are two electrocardiograms. The first is")
    assert shown.endswith("Is it 12 mm é?")
    answer = processor.answer_ids("not sure; yes", "Is it 12 mm é?")
    assert words.decode(answer, skip_special_tokens=True).strip() == "not sure; yes"


def test_report_readers_get_the_same_yes_or_no_prompt(tmp_path):
    model, tokenizer = load_llm(save_llama(tmp_path / "llama", ["Is this ECG normal?"] * 9, 400))
    rows = pd.DataFrame(
        {
            "question": ["Is this ECG normal?", "What is there?", "Is it new?"],
            "question_type": ["single-verify", "single-query", "comparison_consecutive-verify"],
            "ecg_id": [["a"], ["b"], ["a", "b"]],
        },
        index=[3, 1, 7],
    )
    said = read_rows(
        model,
        EcgLlmProcessor(tokenizer, slots=0),
        rows,
        lambda ecg_id, rng: f"sinus rhythm {ecg_id}",
        seed=0,
        max_new_tokens=4,
    )
    assert said.index.tolist() == [3, 1, 7] and {said[3], said[7]} <= set(CLOSED)
    assert isinstance(said[1], str)
