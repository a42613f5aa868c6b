"""Test MERL: its model, the parts of its loss, what is computed once, and saving and resuming."""

import json
from dataclasses import replace
from functools import partial

import merl_cases
import numpy as np
import objective_cases as cases
import pandas as pd
import pytest
import torch
from merl_cases import batch, learner
from paper_models import save_bert
from torch import nn
from torch.nn import functional as F

from ecg_lib.data.prepare import prepare
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.stem_vit import StemVit, StemVitConfig
from ecg_lib.encoders.token_cache import encode_store, encoder_input
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.evaluation.text_scores import text_scores
from ecg_lib.evaluation.zero_shot import clip_scores
from ecg_lib.objectives import objective
from ecg_lib.objectives.loading import load_clip, load_encoder
from ecg_lib.objectives.objective import Given
from ecg_lib.objectives.parts.clip import EcgClip
from ecg_lib.objectives.parts.contrast_forms import contrast_loss
from ecg_lib.objectives.parts.entity_targets import EntityTargets
from ecg_lib.objectives.parts.loss_parts import FILE
from ecg_lib.objectives.parts.masked_reading import masked_input, read, shown
from ecg_lib.objectives.parts.merl_clip import MerlClip
from ecg_lib.objectives.parts.query_scores import query_scores
from ecg_lib.signal.normalise import normalise
from ecg_lib.training.fit import fit

NAMES = {"AF": "atrial fibrillation", "SR": "sinus rhythm"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepare("simulated", None, tmp_path_factory.mktemp("s") / "store", patients=40, seed=2)


@pytest.fixture(scope="module")
def saved(store, tmp_path_factory):
    """A folder with a trained MERL that has a linear head, and the trained objective."""
    folder = tmp_path_factory.mktemp("merl")
    made = learner("merl", store, entities_weight=1.0)
    rows, _ = made.rows()
    fit(made, rows, made.collate, folder, made.schedule(len(rows)), callbacks=made.callbacks())
    made.save(folder)
    return folder, made


def test_the_projections_are_merl_s(store):
    clip = learner("merl", store, width=32).clip
    kinds = [type(layer) for layer in clip.ecg_projection]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    assert [type(layer) for layer in clip.text_projection] == [nn.Linear, nn.GELU, nn.Linear]
    assert clip.ecg_projection[0].weight.shape == (32, 16)
    assert clip.text_projection[2].weight.shape == (32, 32)


def test_the_temperature_stays_what_it_is(saved):
    _, made = saved
    assert made.clip.scale().item() == pytest.approx(1 / 0.07)
    assert not made.clip.log_scale.requires_grad


def test_the_loss_is_the_weighted_sum_of_its_parts(store):
    weights = {"contrast_weight": 0.5, "uni_modal_weight": 2.0, "entities_weight": 3.0}
    made = learner("merl", store, view_dropout=0.0, **weights).eval()
    given = batch(made)
    encoded = made.clip.ecg_encoder(given["ecg"])
    words = F.normalize(made.clip.text_projection(made.texts.of(given["reports"])), dim=-1)
    ecgs = F.normalize(made.clip.ecg_projection(encoded.cls), dim=-1)
    contrast = contrast_loss(ecgs, words, 1 / 0.07)
    one, other = (F.normalize(view(encoded.cls), dim=-1) for view in made.views.views)
    logits = made.clip.entity_head(encoded.cls)
    wrong = torch.where(given["targets"] == 1, -F.logsigmoid(logits), -F.logsigmoid(-logits))
    expected = 0.5 * contrast + 2 * contrast_loss(one, other, 1 / 0.07) + 3 * wrong.mean()
    torch.testing.assert_close(made(**given).loss, expected)
    assert contrast > 0.1 and wrong.mean() > 0.1


def test_the_two_views_are_two_maps_and_two_masks(store):
    made = learner("merl", store)
    pooled = torch.randn(64, 16)
    with torch.no_grad():
        one, other = made.views.train()(pooled)
        made.views.views[1][0].weight.copy_(made.views.views[0][0].weight)
        same_map = made.views(pooled)
        alike = made.views.eval()(pooled)
    assert 0.05 < (one == 0).float().mean() < 0.15 and not torch.equal(one == 0, other == 0)
    assert not torch.equal(*same_map) and torch.equal(*alike)
    assert (alike[0] - other).abs().max() > 0.05
    torch.testing.assert_close(alike[0].norm(dim=-1), torch.ones(64))


def calls_of(made):
    """Count the texts that the text encoder of an objective reads from now on."""
    read_texts = []
    made.clip.text_encoder.register_forward_hook(lambda _, ids, out: read_texts.append(len(out)))
    return read_texts


def test_a_frozen_text_encoder_reads_every_text_once(store):
    made = learner("merl", store)
    read_texts = calls_of(made)
    made.train()
    assert made(**batch(made)).loss.isfinite() and not read_texts
    direct = made.clip.text_encoder.eval()
    words = made.tokenizer([made.reports[3]], return_tensors="pt")
    alone = direct(words["input_ids"], words["attention_mask"])
    torch.testing.assert_close(made.texts.of([made.reports[3]]), alone, rtol=1e-4, atol=1e-5)


def test_a_trained_text_encoder_reads_in_every_step_and_learns(store):
    made = learner("merl", store, text=cases.TEXT)
    read_texts = calls_of(made)
    for _ in range(2):
        made(**batch(made)).loss.backward()
    assert read_texts == [8, 8]
    assert all(p.grad is not None for p in made.clip.text_encoder.parameters())


def test_text_dropout_perturbs_reports_but_trains_no_text_encoder(store):
    made = learner("merl", store, text_dropout=True).train()
    for module in made.clip.text_encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    one, other = (made.texts.of(made.reports[:4]) for _ in range(2))
    assert not torch.equal(one, other) and not one.requires_grad
    made.eval()
    assert torch.equal(*(made.texts.of(made.reports[:4]) for _ in range(2)))


def test_equal_reports_are_negatives_only_if_wanted(store):
    changes = {"uni_modal_weight": 0.0}
    apart, masked = (learner("merl", store, mask_equal=m, **changes).eval() for m in (False, True))
    given = batch(apart)
    assert len(set(given["reports"])) > 2
    torch.testing.assert_close(apart(**given).loss, masked(**given).loss)
    given["reports"] = [given["reports"][0]] * 4 + given["reports"][4:]
    assert apart(**given).loss > masked(**given).loss + 0.1


def test_an_encoder_that_cannot_drop_reads_zeros():
    keep = torch.tensor([[0, 3, -1], [5, 6, 7]])  # two leads of four segments
    marks = shown(keep, (2, 2, 8), 4)
    assert marks[0].int().tolist() == [[1, 1, 0, 0, 0, 0, 1, 1], [0] * 8]
    assert marks[1].int().tolist() == [[0] * 8, [0, 0, 1, 1, 1, 1, 1, 1]]
    encoder, ecg = cases.encoder().eval(), torch.randn(2, 12, 1000)
    keep = torch.arange(0, 600, 2).expand(2, -1)
    zeroed = ecg.clone()
    zeroed.unflatten(2, (50, 20))[:, :, 1::2] = 0  # every other segment of each lead
    assert torch.equal(read(encoder, ecg, None, keep, 50).tokens, encoder(zeroed).tokens)


@pytest.mark.parametrize(
    "encoder", [cases.encoder, partial(merl_cases.Segments, merl_cases.SegmentsConfig())]
)
def test_what_is_masked_cannot_reach_the_loss(store, encoder):
    masks = {"masked_leads": [9, 10, 11], "segments": 0.25}
    made = learner("merl", store, encoder=encoder(), **masks).eval()
    given = batch(made)
    assert set(given["lead_mask"].sum(1).tolist()) <= {1, 2, 3}
    seen = shown(given["keep"], given["ecg"].shape, made.segments)
    assert not (seen & ~given["lead_mask"][..., None]).any()
    loss = made(**given).loss
    noise = torch.randn(given["ecg"].shape)
    changed = given | {"ecg": given["ecg"].where(seen, noise)}
    assert torch.equal(made(**changed).loss, loss)
    assert not torch.equal(made(**given | {"ecg": given["ecg"].where(~seen, noise)}).loss, loss)


def test_hidden_leads_do_not_set_the_scale_of_a_record(store):
    reads = EcgInput(normalisation="record_minmax")
    encoder = StemVit(StemVitConfig(width=16, depth=1, heads=2, mlp=32, patch=125, ecg_input=reads))
    signals = store.mv(range(4))
    mask = torch.zeros(4, 12, dtype=torch.bool)
    mask[:, [1, 7]] = True
    ecg = masked_input(signals, encoder, mask)
    alone = normalise(signals[:, [1, 7]], "record_minmax")
    assert np.array_equal(ecg[:, [1, 7]].numpy(), alone)
    assert not ecg[:, [0, 2, 11]].any()


def test_nothing_is_masked_without_masks(store):
    given = batch(learner("merl", store))
    assert given["lead_mask"].all() and given["keep"].shape == (8, 0)


def test_it_is_saved_and_loaded_as_what_it_is(saved, store):
    folder, made = saved
    clip, tokenizer = load_clip(folder)
    assert type(clip) is MerlClip and not clip.training
    assert json.loads((folder / "clip" / "clip.json").read_text())["class"] == "MerlClip"
    ecg, mask = torch.randn(3, 12, 1000), torch.arange(12).expand(3, 12) < 2
    words = tokenizer(["sinus rhythm"], return_tensors="pt").data
    ids, attention = words["input_ids"], words["attention_mask"]
    own = made.clip.eval()
    assert torch.equal(clip.embed_ecg(ecg, mask), own.embed_ecg(ecg, mask))
    assert (clip.embed_ecg(ecg, mask) - clip.embed_ecg(ecg)).abs().max() > 1e-3
    assert torch.equal(clip.embed_text(ids, attention), own.embed_text(ids, attention))
    assert torch.equal(load_encoder(folder)(ecg).cls, own.ecg_encoder(ecg).cls)
    assert clip.entities == made.clip.entities and clip.entities.names == made.targets.names


def test_the_evaluation_of_clips_takes_it_as_it_is(saved, store, tmp_path):
    clip, tokenizer = load_clip(saved[0])
    tokens = encode_store(store, clip.ecg_encoder, tmp_path)
    ids = store.records["ecg_id"].tolist()[:20]
    scores = clip_scores(clip, tokenizer, tokens, ids, NAMES)
    words = tokenizer(list(NAMES.values()), padding=True, return_tensors="pt")
    text = clip.embed_text(words["input_ids"], words["attention_mask"])
    ecg = clip.embed_ecg(encoder_input(store.mv(ids), clip.ecg_encoder))
    np.testing.assert_allclose(scores.to_numpy(), (ecg @ text.T).detach(), atol=5e-3)
    cls = torch.from_numpy(tokens.cls[tokens.rows(ids)].astype(np.float32))
    several = text_scores(cls, clip, tokenizer, {k: [v] for k, v in NAMES.items()})
    np.testing.assert_allclose(several, scores / 0.07, rtol=1e-3, atol=1e-3)


def test_a_clip_of_an_unknown_class_is_named(saved, tmp_path):
    clip = saved[1].clip
    clip.save_pretrained(tmp_path)
    file = tmp_path / "clip.json"
    for told, says in (
        ({"module": "no_such_module", "class": "A"}, "names no class that can be imported"),
        ({"module": "torch.nn", "class": "Linear"}, "Linear is not a CLIP"),
        ({"class": "MerlClip"}, "names no class that can be imported"),
    ):
        file.write_text(json.dumps(told))
        with pytest.raises(DataError, match=f"clip.json.*{says}"):
            load_clip(tmp_path)


def test_a_plain_clip_still_loads_as_one(store, tmp_path):
    made = cases.built("clip_reports", store)
    made.save(tmp_path)
    assert type(load_clip(tmp_path)[0]) is EcgClip


def test_a_linear_head_on_the_entities_is_a_control(saved, store):
    folder, made = saved
    clip, tokenizer = load_clip(folder)
    ecg = encoder_input(store.mv(range(5)), clip.ecg_encoder)
    first, last = made.targets.names[0], made.targets.names[-1]
    scores = query_scores(clip, tokenizer, ecg, [last, first])
    logits = clip.entity_head(clip.ecg_encoder(ecg).cls)[:, [-1, 0]]
    torch.testing.assert_close(scores, logits.sigmoid().detach())
    with pytest.raises(DataError, match="'gout' is none of the entities of this linear head"):
        query_scores(clip, tokenizer, ecg, [first, "gout"])
    plain = learner("merl", store).clip
    with pytest.raises(DataError, match="trained without entities"):
        query_scores(plain.eval(), tokenizer, ecg, [first])


def test_the_linear_head_starts_at_the_rates(store):
    matrix = np.array([[True, False], [True, True], [True, False], [False, True]])
    rates = EntityTargets(("often", "seldom"), matrix).rates([0, 1, 2])
    assert rates == pytest.approx([3.5 / 4, 1.5 / 4])  # half an ECG is added to either side
    made = learner("merl", store, entities_weight=1.0)
    start = made.clip.entity_head.bias.sigmoid().detach().numpy()
    assert start == pytest.approx(made.targets.rates(made.train_rows), abs=1e-6)


def test_the_course_of_each_part_is_recorded(saved):
    folder, made = saved
    course = pd.read_csv(folder / FILE)
    assert list(course) == ["step", "contrast", "entities", "uni_modal"]
    assert course["step"].is_monotonic_increasing and course.notna().all(None)
    whole = pd.DataFrame(made.log.rows)
    total = course[["contrast", "entities", "uni_modal"]].sum(axis=1)
    np.testing.assert_allclose(total, whole["loss"], rtol=2e-3)


class PowerCut(RuntimeError):
    pass


def trained(store, folder, name="merl", cut_at=None, **changes):
    """Train an objective in a folder; with `cut_at` it crashes in that step."""
    made = learner(name, store, train=range(24), **changes)
    steps, forward = [], made.forward

    def crashing(*args, **kwargs):
        steps.append(1)
        if len(steps) == cut_at:
            raise PowerCut
        return forward(*args, **kwargs)

    if cut_at:
        made.forward = crashing
    rows, _ = made.rows()
    schedule = made.schedule(len(rows))
    fit(made, rows, made.collate, folder, schedule, seed=1, callbacks=made.callbacks())
    return made


@pytest.mark.parametrize(
    "name, changes",
    [
        ("merl", {"masked_leads": [9, 10, 11], "segments": 0.25, "gradient_norms": True}),
        ("kmerl", {"gradient_norms": True}),
    ],
)
def test_an_interrupted_training_resumes_bit_for_bit(store, tmp_path, name, changes):
    whole = trained(store, tmp_path / "whole", name, **changes)
    with pytest.raises(PowerCut):
        trained(store, tmp_path / "run", name, cut_at=4, **changes)  # in the second of two epochs
    again = trained(store, tmp_path / "run", name, **changes)
    for key, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert len(whole.log.rows) == 6 and again.log.rows == whole.log.rows


@pytest.mark.parametrize(
    "mistake, says",
    [
        ({"contrast": "dcl"}, "contrast is 'dcl'"),
        ({"contrast": "printed"}, "set directions=ecg"),
        ({"entities_over": "max"}, "entities_over is 'max'"),
        ({"temperature": 0.0}, "temperature is 0"),
        ({"uni_modal_weight": -1.0}, "uni_modal_weight is -1"),
        ({"contrast_weight": 0.0, "uni_modal_weight": 0.0}, "all have weight 0"),
        ({"masked_leads": [-1]}, r"masked_leads is \[-1\]"),
        ({"segments": 1.0}, "segments is 1"),
        ({"segment_masking": "all"}, "segment_masking is 'all'"),
        ({"segment_seconds": 0.0}, "segment_seconds is 0"),
    ],
)
def test_impossible_settings_are_named(mistake, says):
    with pytest.raises(ConfigError, match=says) as caught:
        cases.settings("merl", **mistake)
    assert "\n" not in str(caught.value)


def test_all_leads_cannot_be_masked(store):
    with pytest.raises(ConfigError, match="the encoder reads 12 leads; mask fewer"):
        learner("merl", store, masked_leads=[9, 12])


def test_a_start_gives_its_encoders(store):
    first = learner("merl", store)
    start = objective.PretrainedClip(first.clip, first.tokenizer)
    given = Given(0, merl_cases.FROZEN, store, range(20), start=start)
    made = objective.find("merl").Objective(first.clip.ecg_encoder, cases.settings("merl"), given)
    assert made.clip.text_encoder is first.clip.text_encoder
    assert made.tokenizer is first.tokenizer


def test_a_pretrained_text_encoder_is_pooled_and_centred_on_the_reports(store, tmp_path):
    folder = save_bert(tmp_path / "bert", store.records["report"].tolist())
    text = replace(merl_cases.FROZEN, name_or_path=str(folder), pooling="cls", centre=True)
    made = objective.find("merl").Objective(
        cases.encoder(), cases.settings("merl"), Given(0, text, store, range(len(store)))
    )
    reports = sorted({made.reports[i] for i in made.train_rows})
    mean = made.texts.of(reports).mean(0)
    assert made.clip.text_encoder.pooling == "cls"
    assert mean.abs().max() < 1e-3  # vectors are kept in half precision
    assert made.clip.text_encoder.centre.abs().max() > 0.1
    made.save(tmp_path)
    loaded, tokenizer = load_clip(tmp_path)
    words = tokenizer(reports[:3], padding=True, return_tensors="pt")
    given = words["input_ids"], words["attention_mask"]
    torch.testing.assert_close(loaded.embed_text(*given), made.clip.eval().embed_text(*given))
