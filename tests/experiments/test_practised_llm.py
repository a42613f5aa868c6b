"""A named LLM from package to answers: converted, practised, merged, aligned, fine-tuned, asked."""

import importlib.util
import json
from dataclasses import replace

import pytest
from gguf_models import TEXTS, pack_wheel, write_gguf

from ecg_lib import paths
from ecg_lib.config import compose, from_mapping
from ecg_lib.ecg_llm import llm_names
from ecg_lib.ecg_llm.llm_names import fetched_folder
from ecg_lib.encoders.token_cache import weights_hash
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.experiments import ablations, aligning, arms, language_model
from ecg_lib.experiments.question_sets import built_questions
from ecg_lib.knowledge.findings import FINDINGS
from ecg_lib.named_llm.fetching import fetch_llm
from ecg_lib.named_llm.reading_practice import ADAPTER
from ecg_lib.tiny_llm.llama import tiny_llama, train_byte_pairs

PRACTICE = {"practice": True, "rows": 48, "batch_size": 4, "pack": 4, "blurred": 0.0}


@pytest.fixture(scope="module")
def fetched(small):
    """A small random LLM under a short name: converted from a wheel, or saved where it would be."""
    texts = [*TEXTS, *FINDINGS["name"].head(20)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llm_names, "FETCHED", {"tiny-random": "make tiny"})
        if importlib.util.find_spec("gguf") is None:
            tokenizer = train_byte_pairs(texts, 400)
            model = tiny_llama(tokenizer, width=32, depth=1, heads=2)
            for saved in (model, tokenizer):
                saved.save_pretrained(fetched_folder("tiny-random"))
        else:
            source, wheel = small.root / "tiny.gguf", small.root / "tiny.whl"
            write_gguf(source, texts, 400)
            fetch_llm("tiny-random", pack_wheel(wheel, source.read_bytes()), wheel, print)
        yield "tiny-random"


def run_with(small, name, place, **changes):
    """Return a run with another language model and the small checkout's encoder."""
    config = replace(small.config, llm=replace(small.config.llm, name_or_path=name, **changes))
    return replace(small.run.below(place, config=config), llm_home=None)


@pytest.fixture(scope="module")
def run(small, fetched):
    run = run_with(small, fetched, "named", **PRACTICE, dtype="bfloat16")
    assert language_model.llm_of_profile(run) == run.llm
    return run


def test_the_practised_llm_is_the_run_s_own_and_the_fetched_one_stays(run, fetched):
    assert run.llm == run.checkpoints("language_model", "practised")
    base, _ = language_model.load_llm(fetched_folder(fetched))
    read, _ = language_model.load_llm(run.llm)
    assert weights_hash(base) != weights_hash(read)
    marker = json.loads((run.llm / "fingerprint.json").read_text())
    assert {"code", "params", "llm", "data", "libraries"} <= set(marker)
    curve = language_model.pretraining_curve(run.llm)
    assert list(curve) == ["step", "loss of reading"] and len(curve)
    assert language_model.look_ups_of_profile(run) == str(fetched_folder(fetched))


def test_it_is_aligned_fine_tuned_and_answers(run, small):
    rows = built_questions(ablations.base_of(small.config), small.store)["train"].head(16)
    aligning.align_projector(run, say=None)
    assert (aligning.aligned_names(run)["pieces"] > 1).any(), "names in pieces are taught"
    arms.run_stages(run, "stage1", {"de-biased": rows})
    said = arms.answer_arm(run, "de-biased", rows, stage="stage1")
    assert len(said) == 16 and said["prediction"].map(type).eq(str).all()
    verify = rows["question_type"].str.endswith("verify").to_numpy()
    assert said["p_yes"][verify].between(0, 1).all()
    kept = json.loads((run.checkpoints("stage1", "de-biased") / "config.json").read_text())
    assert not kept["language_model"].startswith("/"), "the folder can move with its LLM"


def test_a_saved_adapter_is_merged_and_nothing_is_practised(run, small, fetched, monkeypatch):
    monkeypatch.setattr(language_model, "practise", None)  # calling it would fail
    adapter = str((run.llm / ADAPTER).relative_to(paths.ROOT))
    given = {**PRACTICE, "practice": False, "reading_adapter": adapter, "dtype": "bfloat16"}
    again = run_with(small, fetched, "merged", **given)
    folder = language_model.llm_of_profile(again)
    assert folder == again.llm and folder != run.llm
    one, two = (f / "model.safetensors" for f in (folder, run.llm))
    assert one.read_bytes() == two.read_bytes()
    assert language_model.pretraining_curve(folder).empty
    wrong = run_with(small, fetched, "wrong", **{**given, "reading_adapter": "nowhere"})
    with pytest.raises(DataError, match=r"llm\.reading_adapter .*nowhere"):
        language_model.llm_of_profile(wrong)


def test_a_practised_llm_has_to_pass_the_gate_and_one_left_as_it_is_has_not(run, small, fetched):
    strict = replace(run.config, llm=replace(run.config.llm, reading_gate=0.95))
    with pytest.raises(DataError, match="llm.reading_gate asks for 95%"):
        language_model.gate(60.0, strict)
    plain = run_with(small, fetched, "plain", reading_gate=0.95)
    assert "no gate" in language_model.gate(10.0, plain.config)
    assert language_model.llm_of_profile(plain) == plain.llm == str(fetched_folder(fetched))


def test_small_named_llms_are_trained_side_by_side_and_large_ones_one_by_one(run, monkeypatch):
    monkeypatch.setattr(arms.torch.cuda, "is_available", lambda: False)
    for limit, together in ((1e9, True), (10, False)):
        monkeypatch.setattr(arms, "_SMALL", limit)
        assert arms._small(run) is together
    hub = replace(run.config, llm=replace(run.config.llm, name_or_path="a/hub-id", practice=False))
    monkeypatch.setattr(arms, "_SMALL", 1e12)
    assert not arms._small(replace(run, config=hub)), "its size is not known"


@pytest.mark.parametrize(
    "llm, said",
    [
        ({"practice": True}, "llm.name_or_path is null"),
        ({"reading_adapter": "a/folder"}, "llm.name_or_path is null"),
        ({"name_or_path": "a/model", "practice": True, "rows": 0}, "llm.rows"),
    ],
)
def test_impossible_practice_is_one_line(llm, said):
    values = compose("smoke").as_dict()
    values["llm"] |= llm
    with pytest.raises(ConfigError, match=said) as error:
        from_mapping(values)
    assert "\n" not in str(error.value)


def test_profiles_without_practice_keep_the_keys_from_before_it_existed():
    for profile in ("smoke", "demo", "demo-full", "ptbxl", "paper"):
        config = compose(profile, ["data.root=anywhere"])
        assert not {"practice", "reading_adapter"} & {
            *config.llm.as_dict(),
            *config.as_dict()["llm"],
        }
    assert compose("smollm").as_dict()["llm"]["practice"] is True


def test_the_profile_smollm_is_demo_with_another_llm_and_the_same_arms():
    demo, smollm = (compose(name).as_dict() for name in ("demo", "smollm"))
    same = {"data", "signal", "questions", "encoder", "objective", "arms", "simulated", "seed"}
    assert all(demo[section] == smollm[section] for section in same)
    assert smollm["label"] == "simulated cohort, SmolLM2-135M"
    assert smollm["llm"]["name_or_path"] == "smollm2-135m"
    over = compose("ptbxl", ["llm=smollm2-135m", "data.root=anywhere"])
    assert over.llm.name_or_path == "smollm2-135m" and over.llm.practice
