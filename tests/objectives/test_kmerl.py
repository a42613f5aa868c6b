"""Test K-MERL: entities by query, the masks that reach the encoder, and its controls."""

import merl_cases
import numpy as np
import objective_cases as cases
import pandas as pd
import pytest
import torch
from merl_cases import batch, learner
from torch.nn import functional as F

from ecg_lib.config import compose
from ecg_lib.data.prepare import prepare
from ecg_lib.encoders.token_cache import encoder_input
from ecg_lib.errors import ConfigError, DataError
from ecg_lib.experiments import encoder_pretraining
from ecg_lib.knowledge.findings import name_of
from ecg_lib.objectives import objective
from ecg_lib.objectives.loading import load_clip
from ecg_lib.objectives.objective import Given
from ecg_lib.objectives.parts import entity_targets as labels_of
from ecg_lib.objectives.parts import merl_parts
from ecg_lib.objectives.parts.loss_parts import FILE, PartsLog, gradient_norms
from ecg_lib.objectives.parts.query_scores import query_scores
from ecg_lib.objectives.parts.report_vectors import random_vectors
from ecg_lib.training.fit import fit


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return prepare("simulated", None, tmp_path_factory.mktemp("s") / "store", patients=40, seed=2)


def dropping():
    return merl_cases.Segments(merl_cases.SegmentsConfig())


def test_the_loss_is_contrast_and_entities(store):
    made = learner("kmerl", store, encoder=dropping()).eval()
    given = batch(made)
    encoded = made.clip.ecg_encoder(given["ecg"], given["lead_mask"], given["keep"])
    words = made.clip.project_text(made.texts.of(given["reports"]))
    contrast = made.contrast(made.clip.project_ecg(encoded.cls), words, None)
    queries = made.clip.query_vectors(made.tokenizer, made.targets.names)
    logits = made.clip.query_network(queries, encoded.tokens, encoded.token_mask)
    entities = F.binary_cross_entropy_with_logits(logits, given["targets"])
    torch.testing.assert_close(made(**given).loss, contrast + entities)


def test_the_targets_are_those_of_each_ecg_s_report(store, monkeypatch):
    class Labels:
        names = ("long", "never", "short")

        def __init__(self, reports):
            length = np.array([len(r) for r in reports])
            self.matrix = np.stack([length > 60, length < 0, length < 40], 1)

    monkeypatch.setattr(labels_of, "entity_labels", lambda source, reports: Labels(reports))
    made = learner("kmerl", store)
    assert made.targets.names == ("long", "short"), "what nobody has cannot be asked"
    given = batch(made, 20)
    expected = [[len(r) > 60, len(r) < 40] for r in given["reports"]]
    assert torch.equal(given["targets"], torch.tensor(expected).float())
    monkeypatch.setattr(
        labels_of, "entity_labels", lambda source, reports: Labels(["x" * 50] * len(reports))
    )
    with pytest.raises(DataError, match="entities is 'lexicon', but no report to train on states"):
        learner("kmerl", store)


def test_only_reports_that_are_used_are_looked_up(store, monkeypatch):
    """Mined labels may know the reports of the training split and no other."""
    asked, real = [], labels_of.entity_labels

    def noting(source, reports):
        asked.extend(reports)
        return real(source, reports)

    monkeypatch.setattr(labels_of, "entity_labels", noting)
    given = Given(0, merl_cases.FROZEN, store, range(5, 25), range(30, 34))
    settings = cases.settings("kmerl", query_network=merl_cases.QUERIES)
    made = objective.find("kmerl").Objective(dropping(), settings, given)
    assert asked == [made.reports[i] for i in (*made.train_rows, *made.valid_rows)]
    first = made.valid_rows[0]
    alone = real("lexicon", [made.reports[first]])
    row = made.collate([{"row": first}])["targets"][0]
    told = {n for n, y in zip(alone.names, alone.matrix[0], strict=True) if y}
    assert {n for n, y in zip(made.targets.names, row, strict=True) if y} == told & set(
        made.targets.names
    )


def test_labels_may_come_from_the_codes_of_the_store(store):
    made = learner("kmerl", store, entities="codes")
    given = batch(made)
    for row, own in enumerate(store.labels[:8]):
        told = {n for n, y in zip(made.targets.names, given["targets"][row], strict=True) if y}
        assert told == {name_of(code) for code in own if name_of(code) in made.targets.names}
    assert given["targets"].sum() > 5


def test_masks_reach_an_encoder_that_drops_tokens(store):
    made = learner("kmerl", store, encoder=dropping())
    encoder = made.clip.ecg_encoder
    for _ in range(3):
        given = batch(made)
        made(**given)
        lead_mask, keep = encoder.told[-1]
        assert lead_mask is given["lead_mask"] and keep is given["keep"]
        numbers = lead_mask.sum(1)
        assert set(numbers.tolist()) <= {1, 2, 3}
        # ten segments a lead, of which int(0.75 * 10) are kept, of shown leads only
        kept = keep >= 0
        assert torch.equal(kept.sum(1), 7 * numbers)
        of_shown = lead_mask.gather(1, keep.clamp(min=0) // 10)
        assert of_shown[kept].all()


def test_each_mask_can_be_left_out(store):
    made = learner("kmerl", store, encoder=dropping(), masked_leads=[], segments=0.25)
    given = batch(made)
    assert given["lead_mask"].all() and given["keep"].shape == (8, 12 * 7)
    made = learner("kmerl", store, encoder=dropping(), masked_leads=[9], segments=0.0)
    given = batch(made)
    assert (given["lead_mask"].sum(1) == 3).all() and given["keep"].shape == (8, 3 * 10)
    made = learner("kmerl", store, encoder=dropping(), masked_leads=[9], segment_masking="joint")
    given = batch(made)
    each = torch.zeros(8, 12, dtype=torch.long).scatter_add(
        1, given["keep"] // 10, torch.ones_like(given["keep"])
    )
    assert (each.sum(1) == 21).all() and (each[given["lead_mask"]] != 7).any()


def test_unmasked_it_reads_the_plain_ecg(store):
    made = learner("kmerl", store, encoder=dropping(), masked_leads=[], segments=0.0)
    made(**batch(made))
    assert made.clip.ecg_encoder.told[-1] == (None, None)


def test_name_vectors_are_computed_once_if_the_text_encoder_is_frozen(store):
    frozen, trained = learner("kmerl", store), learner("kmerl", store, text=cases.TEXT)
    read_texts = {}
    for made in (frozen, trained):
        told = read_texts[made] = []
        made.clip.text_encoder.register_forward_hook(lambda _, ids, out, t=told: t.append(len(out)))
        for _ in range(2):
            made(**batch(made)).loss.backward()
    q = len(frozen.targets.names)
    assert read_texts[frozen] == [q] and read_texts[trained] == [8, q, 8, q]


def test_the_sum_over_entities_is_their_number_times_the_mean(store):
    mean, whole = (
        learner("kmerl", store, contrast_weight=0.0, entities_over=over).eval()
        for over in ("mean", "sum")
    )
    given = batch(mean)
    q = len(mean.targets.names)
    torch.testing.assert_close(whole(**given).loss, q * mean(**given).loss)


def test_without_contrast_no_idle_weight_is_trained(store):
    """Training in several processes stops at a trainable weight that gets no gradient."""
    for name, changes in (
        ("kmerl", {"contrast_weight": 0.0}),
        ("kmerl", {"entities_weight": 0.0}),
        ("merl", {"contrast_weight": 0.0}),
        ("merl", {"uni_modal_weight": 0.0, "entities_weight": 1.0}),
    ):
        made = learner(name, store, encoder=dropping(), **changes)
        made(**batch(made)).loss.backward()
        idle = [n for n, p in made.named_parameters() if p.requires_grad and p.grad is None]
        assert not idle


def test_it_learns_what_the_leads_that_are_shown_tell(store, monkeypatch):
    """An entity that is written into every lead is learnt from one to three of them."""
    marked = np.arange(len(store)) % 2 == 0

    def labels(source, store, reports, rows, valid):
        return labels_of.EntityTargets(("marked", "unmarked"), np.stack([marked, ~marked], 1))

    monkeypatch.setattr(merl_parts, "entity_targets", labels)
    made = learner("kmerl", store, encoder=dropping(), contrast_weight=0.0, queries="random")
    clean = made.collate

    def collate(rows):
        given = clean(rows)
        sign = 2 * given["targets"][:, 0] - 1
        return given | {"ecg": given["ecg"] + 2 * sign[:, None, None]}

    optimizer = torch.optim.AdamW(made.parameters(), 3e-3)
    rows, _ = made.rows()
    for step in range(100):
        optimizer.zero_grad()
        made(**collate(rows[8 * (step % 5) :][:16])).loss.backward()
        optimizer.step()
    given, clip = collate(rows[:40]), made.clip.eval()
    one_lead = (torch.arange(12) == 4).expand(40, 12)
    names = ["unmarked", "marked"]
    scores = query_scores(clip, made.tokenizer, given["ecg"], names, one_lead)
    assert scores.shape == (40, 2)
    truth = given["targets"][:, [1, 0]] == 1
    assert ((scores > 0.5) == truth).float().mean() > 0.95


def test_what_an_absent_lead_holds_cannot_reach_a_score(store):
    made = learner("kmerl", store, encoder=dropping())
    clip = made.clip.eval()
    ecg, lead_mask = torch.randn(3, 12, 1000), torch.rand(3, 12) < 0.5
    lead_mask[:, 0] = True
    ask = made.targets.names
    scores = query_scores(clip, made.tokenizer, ecg, ask, lead_mask)
    other = torch.where(lead_mask[..., None], ecg, torch.randn_like(ecg))
    torch.testing.assert_close(query_scores(clip, made.tokenizer, other, ask, lead_mask), scores)
    assert (scores >= 0).all() and (scores <= 1).all()


def test_scores_survive_saving_and_batches(store, tmp_path):
    made = learner("kmerl", store, query_network=merl_cases.QUERIES | {"self_attention": False})
    clip = made.clip.eval()
    made.save(tmp_path)
    again, tokenizer = load_clip(tmp_path)
    ecg = encoder_input(store.mv(np.arange(150) % len(store)), clip.ecg_encoder)
    names = ["atrial fibrillation", "a name never seen"]
    scores = query_scores(clip, made.tokenizer, ecg, names)
    assert torch.equal(query_scores(again, tokenizer, ecg, names), scores)
    alone = query_scores(again, tokenizer, ecg[140:], names[1:])
    torch.testing.assert_close(alone, scores[140:, 1:])
    assert again.entities.network == made.settings.query_network
    assert again.entities.names == made.targets.names


def test_random_queries_tell_names_apart_but_know_no_words(store, tmp_path):
    made = learner("kmerl", store, queries="random")
    names = made.targets.names
    expected = random_vectors(names, 16)
    assert torch.equal(made.queries(), expected)
    assert torch.equal(random_vectors(names[::-1], 16), expected.flip(0))
    assert len({tuple(row.tolist()) for row in expected}) == len(names)
    many = random_vectors([f"name {i}" for i in range(500)], 64)
    assert abs(many.mean()) < 0.02 and many.std() == pytest.approx(1, abs=0.02)
    made.save(tmp_path)
    clip, tokenizer = load_clip(tmp_path)
    assert torch.equal(clip.query_vectors(tokenizer, names), expected)
    by_name = learner("kmerl", store).queries()
    assert (by_name - expected).abs().max() > 0.1


def test_gradient_norms_are_those_of_the_weighted_parts():
    layer = torch.nn.Linear(2, 1, bias=False)
    x = torch.tensor([[3.0, 4.0]])
    parts = {
        "one": layer(x).sum(),
        "two": 2 * layer(x).sum(),
        "other": torch.ones((), requires_grad=True) * 1,
    }
    norms = gradient_norms(parts, layer)
    assert {k: v.item() for k, v in norms.items()} == {
        "one_gradient": 5, "two_gradient": 10, "other_gradient": 0
    }  # fmt: skip
    parts["one"].backward()  # the graph is still there


def test_parts_are_averaged_between_lines_of_the_curve():
    log = PartsLog()
    state = type("State", (), {"log_history": [{"loss": 1.0, "step": 2}]})()
    log.note({"contrast": torch.tensor(1.0), "contrast_gradient": torch.tensor(7.0)})
    assert not log.fresh
    log.note({"contrast": torch.tensor(3.0)})
    log.on_log(None, state, None, logs={"eval_loss": 2.0})
    assert state.log_history == [{"loss": 1.0, "step": 2}]
    log.on_log(None, state, None, logs={"loss": 1.0})
    line = {"loss": 1.0, "step": 2, "contrast": 2.0, "contrast_gradient": 7.0}
    assert state.log_history == [line] and log.fresh


def test_the_norms_are_written_beside_the_parts(store, tmp_path):
    made = learner("kmerl", store, gradient_norms=True, entities_weight=0.5)
    rows, _ = made.rows()
    fit(made, rows, made.collate, tmp_path, made.schedule(16), callbacks=made.callbacks())
    made.save(tmp_path)
    course = pd.read_csv(tmp_path / FILE)
    parts = ["contrast", "entities", "contrast_gradient", "entities_gradient"]
    assert sorted(course) == sorted([*parts, "step"])
    assert (course[parts] > 0).all(None)


def test_entities_above_nothing_need_no_labels(store, monkeypatch):
    monkeypatch.setattr(labels_of, "entity_labels", None)
    made = learner("kmerl", store, entities_weight=0.0)
    given = batch(made)
    assert given["targets"].shape == (8, 0) and made.clip.query_network is None
    assert made(**given).loss.isfinite()


def test_impossible_settings_are_named():
    with pytest.raises(ConfigError, match="queries is 'words'; choose names, random"):
        cases.settings("kmerl", queries="words")
    with pytest.raises(ConfigError, match="query_network.heads is 0"):
        cases.settings("kmerl", query_network=merl_cases.QUERIES | {"heads": 0})


def test_mined_labels_that_changed_are_trained_on_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_pretraining, "train_or_load", lambda folder, key, train: key)
    config = compose("smoke", ["objective=kmerl_small"])
    given, mined = Given(0, config.text_encoder), tmp_path / "mined"

    def key(**changes):
        section = config.objective | changes
        return encoder_pretraining.teach(config, section, "mv", given, tmp_path)

    mined.mkdir()
    (mined / "labels").write_text("one")
    first = key(entities=str(mined))
    assert key(entities=str(mined)) == first
    (mined / "labels").write_text("two")
    assert {k for k, v in key(entities=str(mined)).items() if v != first[k]} == {"reads"}
    assert "reads" not in key() and "reads" not in key(entities=str(mined), entities_weight=0.0)
