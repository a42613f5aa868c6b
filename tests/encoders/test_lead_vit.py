"""Test K-MERL's encoder: absent leads are left out, and every way of leaving out is the same."""

import pytest
import torch

from ecg_lib import encoders
from ecg_lib.config import compose
from ecg_lib.encoders.base import EcgInput
from ecg_lib.encoders.lead_segments import LinearSegments
from ecg_lib.encoders.lead_vit import LeadVit, LeadVitConfig
from ecg_lib.encoders.token_cache import encode_store
from ecg_lib.encoders.vit_blocks import PreLnTransformer
from ecg_lib.errors import ConfigError
from ecg_lib.signal.leads import LEADS

L, M, D = 12, 50, 16
SIZES = {"width": D, "depth": 2, "heads": 2, "head_size": 12, "mlp": 32}
CLOSE = {"rtol": 1e-4, "atol": 2e-6}
stems = pytest.mark.parametrize("stem", ["linear", "residual"])


def model(seed=0, leads=LEADS, **settings):
    torch.manual_seed(seed)
    made = LeadVit(LeadVitConfig(ecg_input=EcgInput(leads=leads), **(SIZES | settings)))
    for module in made.modules():  # batch norm that does nothing would hide errors
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return made.eval()


def ecgs(count=3, leads=L, seed=5):
    return torch.randn(count, leads, 1000, generator=torch.Generator().manual_seed(seed))


def mask_of(*sets):
    """Return a lead mask from the names of the leads of each ECG."""
    return torch.tensor([[lead in names for lead in LEADS] for names in sets])


def the_same(one, other):
    assert torch.allclose(one.tokens, other.tokens, **CLOSE)
    assert torch.allclose(one.cls, other.cls, **CLOSE)


# -- tokens ------------------------------------------------------------------------------------


def test_segments_by_hand():
    """Two leads of four samples, segments of two, and a projection that adds and subtracts."""
    segments = LinearSegments(2, 2)
    with torch.no_grad():
        segments.project.weight.copy_(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    ecg = torch.tensor([[[1.0, 2, 3, 5], [10, 20, 30, 70]]])
    whole = [[3.0, -1], [8, -2], [30, -10], [100, -40]]  # lead-major
    assert segments(ecg)[0].tolist() == whole
    assert segments(ecg, keep=torch.tensor([[2, 1]]))[0].tolist() == [whole[2], whole[1]]
    absent = torch.tensor([[False, True]])
    assert segments(ecg, absent)[0].tolist() == [[0.0, 0], [0, 0], *whole[2:]]


def test_every_token_knows_its_lead_and_time():
    lead, time = model().token_places()
    assert lead.shape == time.shape == (1, L * M)
    assert lead[0, [0, 49, 50, 599]].tolist() == [0, 0, 1, 11]
    assert time[0, [0, 49, 50, 599]].tolist() == [0, 49, 0, 49]
    lead, time = model().token_places(torch.tensor([[51, 3, -1]]))
    assert lead[0, :2].tolist() == [1, 0] and time[0, :2].tolist() == [1, 3]


@stems
def test_leads_and_times_are_told_by_embeddings_alone(stem):
    """Without lead embeddings leads are a set; with them the same permutation matters."""
    ecg, order = ecgs(), torch.randperm(L, generator=torch.Generator().manual_seed(1))
    for told in (False, True):
        made = model(stem=stem, lead_embedding=told)
        one = made(ecg).tokens.view(3, L, M, D)[:, order]
        other = made(ecg[:, order]).tokens.view(3, L, M, D)
        assert torch.allclose(one, other, **CLOSE) is not told
    later = ecg.roll(20, dims=-1)  # one segment
    for told in (False, True):
        made = model(time_embedding=told)
        assert torch.allclose(made(ecg).cls, made(later).cls, **CLOSE) is not told


def test_leads_are_known_by_name_in_any_order():
    ecg, order = ecgs(), [5, 0, 11, 7, 1, 2, 3, 4, 6, 8, 9, 10]
    one, other = model(), model(leads=tuple(LEADS[i] for i in order))
    state = one.state_dict()
    other.load_state_dict(state | {"lead_vectors": state["lead_vectors"][order]})
    assert torch.allclose(one(ecg).cls, other(ecg[:, order]).cls, **CLOSE)


def test_embeddings_have_the_stated_spread():
    made = LeadVit(LeadVitConfig(embedding_std=0.5, depth=0))
    assert made.time_vectors.std().item() == pytest.approx(0.5, rel=0.05)
    assert made.lead_vectors.shape == (12, 192) and made.time_vectors.shape == (50, 192)


# -- absent leads ------------------------------------------------------------------------------


@stems
@pytest.mark.parametrize("tokens_out", ["all", "per_time"])
def test_what_absent_leads_hold_changes_no_bit(stem, tokens_out):
    made, ecg = model(stem=stem, tokens_out=tokens_out), ecgs()
    mask = mask_of({"I"}, {"II", "V1", "V6"}, set(LEADS) - {"aVR"})
    other = torch.where(mask[..., None], ecg, 1e3 * ecgs(seed=6))
    for training in (False, True):  # in training, batch norm must not see them either
        one, two = made.train(training)(ecg, mask), made(other, mask)
        assert torch.equal(one.tokens, two.tokens) and torch.equal(one.cls, two.cls)


@stems
def test_an_absent_lead_is_as_if_the_encoder_had_never_had_it(stem):
    names, ecg = ("II", "V1", "V5"), ecgs()
    rows = [LEADS.index(name) for name in names]
    full, few = model(stem=stem), model(stem=stem, leads=names)
    state = full.state_dict()
    few.load_state_dict(state | {"lead_vectors": state["lead_vectors"][rows]})
    masked, own = full(ecg, mask_of(*[names] * 3)), few(ecg[:, rows])
    assert torch.allclose(
        masked.tokens.view(3, L, M, D)[:, rows].flatten(1, 2), own.tokens, **CLOSE
    )
    assert torch.allclose(masked.cls, own.cls, **CLOSE)
    assert masked.token_mask.view(3, L, M).any(2).tolist() == mask_of(*[names] * 3).tolist()


def test_leaving_a_lead_out_is_not_setting_it_to_0():
    made, ecg, mask = model(), ecgs(), mask_of(*[{"I", "II"}] * 3)
    zeroed = made(ecg * mask[..., None])
    assert not torch.allclose(made(ecg, mask).cls, zeroed.cls, atol=1e-2)


def test_all_leads_present_is_no_mask():
    made, ecg = model(), ecgs()
    masked = made(ecg, torch.ones(3, L, dtype=torch.bool))
    assert masked.token_mask is None and torch.equal(masked.tokens, made(ecg).tokens)


@stems
def test_an_ecg_without_any_lead_is_0_and_not_nan(stem):
    mask = mask_of(LEADS, (), {"I"})
    output = model(stem=stem)(ecgs(), mask)
    assert output.cls[1].eq(0).all() and output.tokens[1].eq(0).all()
    assert output.tokens.isfinite().all() and not output.token_mask[1].any()


# -- fast paths --------------------------------------------------------------------------------


def plain(made):
    """Let a model mask absent tokens in attention instead of moving the others together."""
    made.blocks.packed = made.blocks.forward
    return made


@stems
@pytest.mark.parametrize(
    "sets",
    [
        [{"I", "V2"}, {"II", "aVF"}, {"V5", "V6"}],  # equal numbers: no mask is needed
        [{"I"}, {"II", "aVF"}, set(LEADS)],
        [{"I"}, {"II", "aVF"}, {"V5", "V6"}],
    ],
)
def test_the_packed_path_the_masked_path_and_one_by_one_agree(stem, sets):
    ecg, mask = ecgs(), mask_of(*sets)
    fast = model(stem=stem)(ecg, mask)
    the_same(fast, plain(model(stem=stem))(ecg, mask))
    for i in range(3):
        alone = model(stem=stem)(ecg[i : i + 1], mask[i : i + 1])
        assert torch.allclose(alone.tokens[0], fast.tokens[i], **CLOSE)
        assert torch.allclose(alone.cls[0], fast.cls[i], **CLOSE)


@stems
def test_gradients_of_the_packed_path_are_those_of_the_masked_path(stem):
    ecg, mask = ecgs(), mask_of({"I"}, {"II", "aVF"}, {"V5", "V6"})
    grads = []
    for made in (model(stem=stem), plain(model(stem=stem))):
        output = made(ecg, mask)
        (output.cls.square().sum() + output.tokens.sin().sum()).backward()
        grads.append({name: p.grad for name, p in made.named_parameters()})
    for name, grad in grads[0].items():
        assert torch.allclose(grad, grads[1][name], rtol=1e-3, atol=1e-5), name


def test_packing_computes_only_what_is_there(monkeypatch):
    seen = []
    whole = PreLnTransformer.forward
    monkeypatch.setattr(
        PreLnTransformer,
        "forward",
        lambda self, z, mask=None: seen.append((z.shape[1], mask is None)) or whole(self, z, mask),
    )
    made = model()
    made(ecgs(), mask_of({"I", "V2"}, {"II", "aVF"}, {"V5", "V6"}))
    made(ecgs(), mask_of({"I"}, {"II", "aVF"}, {"V5", "V6"}))
    made(ecgs())
    assert seen == [(2 * M, True), (2 * M, False), (L * M, True)]


def test_blocks_with_a_row_of_no_valid_token_give_no_nan_and_no_nan_gradient():
    torch.manual_seed(0)
    blocks, z = PreLnTransformer(2, 8, 2, 4, 16), torch.randn(2, 5, 8, requires_grad=True)
    mask = torch.tensor([[True, False, True, False, False], [False] * 5])
    for path in (blocks, blocks.packed):
        out = path(z, mask)
        assert out.isfinite().all()
        (grad,) = torch.autograd.grad(out[0, [0, 2]].sum(), z)
        assert grad.isfinite().all() and grad[0, [1, 3, 4]].eq(0).all() and grad[1].eq(0).all()


@stems
@pytest.mark.parametrize("told", [True, False])
def test_every_path_works_in_half_precision(stem, told):
    made = model(stem=stem, lead_embedding=told, time_embedding=told)
    ecg, mask = ecgs(), mask_of({"I"}, {"II", "aVF"}, {"V5", "V6"})
    keep = torch.tensor([[0, 7], [60, -1], [510, 560]])
    for given in ((), (mask,), (mask, keep)):
        exact = made(ecg, *given)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = made(ecg, *given)
            pooled = made.over_leads(half, keep if len(given) == 2 else None)
        assert torch.allclose(half.tokens.float(), exact.tokens, atol=0.1)
        assert pooled.tokens.isfinite().all()


# -- kept tokens -------------------------------------------------------------------------------


@stems
def test_keeping_every_token_in_another_order_only_reorders(stem):
    made, ecg = model(stem=stem), ecgs()
    keep = torch.stack([torch.randperm(L * M) for _ in range(3)])
    whole, kept = made(ecg), made(ecg, keep=keep)
    wanted = whole.tokens.gather(1, keep[..., None].expand(-1, -1, D))
    assert kept.token_mask is None and torch.allclose(kept.tokens, wanted, **CLOSE)
    assert torch.allclose(kept.cls, whole.cls, **CLOSE)


@stems
def test_padding_changes_nothing_and_is_marked(stem):
    made, ecg = model(stem=stem), ecgs()
    keep = torch.tensor([[3, 70, 500], [0, 1, 599], [10, 20, 30]])
    padded = torch.nn.functional.pad(keep, (0, 2), value=-1)
    one, other = made(ecg, keep=keep), made(ecg, keep=padded)
    assert other.token_mask.tolist() == [[True] * 3 + [False] * 2] * 3
    assert torch.allclose(one.tokens, other.tokens[:, :3], **CLOSE)
    assert other.tokens[:, 3:].eq(0).all() and torch.allclose(one.cls, other.cls, **CLOSE)


def test_kept_tokens_of_absent_leads_are_left_out():
    made, ecg, mask = model(), ecgs(1), mask_of({"I"})
    output = made(ecg, mask, torch.tensor([[0, 7, 50, 599]]))  # of I, I, II and V6
    assert output.token_mask.tolist() == [[True, True, False, False]]
    the_same(made(ecg, keep=torch.tensor([[0, 7, -1, -1]])), output)


def test_keeping_all_tokens_of_some_leads_is_leaving_out_the_others():
    made, ecg, mask = model(), ecgs(2), mask_of({"I", "V6"}, {"II", "III"})
    keep = torch.stack([row.repeat_interleave(M).nonzero()[:, 0] for row in mask])
    assert torch.allclose(made(ecg, keep=keep).cls, made(ecg, mask).cls, **CLOSE)


def test_a_shorter_ecg_has_fewer_tokens_at_the_same_times():
    """The first 5 s alone are encoded as if only their tokens had been kept."""
    made, ecg = model(), ecgs()
    keep = torch.cat([lead * M + torch.arange(25) for lead in range(L)]).expand(3, -1)
    the_same(made(ecg[..., :500]), made(ecg, keep=keep))
    pooled = model(tokens_out="per_time")(ecg[..., :500])
    assert pooled.tokens.shape == (3, 25, D) and pooled.token_mask is None
    for wrong in (ecg[..., :510], ecg[:, :3], torch.cat([ecg, ecg], dim=-1)):
        with pytest.raises(ValueError, match="12 leads and a multiple of 20 samples"):
            made(wrong)


# -- pooled over leads -------------------------------------------------------------------------


def test_per_time_is_the_mean_over_present_leads():
    every, pooled = model(), model(tokens_out="per_time")
    ecg, mask = ecgs(), mask_of(LEADS, {"I", "V2"}, {"II"})
    assert (every.config.tokens, pooled.config.tokens) == (L * M, M)
    for given in (None, mask):
        whole, means = every(ecg, given), pooled(ecg, given)
        assert means.tokens.shape == (3, M, D) and means.token_mask is None
        assert torch.equal(means.cls, whole.cls)
        grid = whole.tokens.view(3, L, M, D)
        for i in range(3):
            there = torch.ones(L, dtype=torch.bool) if given is None else given[i]
            assert torch.allclose(means.tokens[i], grid[i, there].mean(0), **CLOSE)
    assert torch.equal(pooled.every_token(ecg, mask).tokens, every(ecg, mask).tokens)


def test_per_time_of_kept_tokens_by_hand():
    made = model()
    keep = torch.tensor([[0, 50, 3, -1], [-1, -1, -1, -1]])  # I and II at time 0, I at time 3
    output = made(ecgs(2), keep=keep)
    means = made.over_leads(output, keep)
    assert means.token_mask[0].nonzero()[:, 0].tolist() == [0, 3]
    assert torch.allclose(means.tokens[0, 0], output.tokens[0, :2].mean(0), **CLOSE)
    assert torch.allclose(means.tokens[0, 3], output.tokens[0, 2], **CLOSE)
    assert not means.token_mask[1].any() and means.tokens[1].eq(0).all()


def test_an_llm_profile_reads_time_steps_and_a_cache_holds_them(tmp_path):
    from ecg_lib.data.simulated.cohort import SimulatedCohort
    from ecg_lib.data.write_store import write_store

    config = compose("smoke", ["encoder=lead_vit_llm_small"])
    made = encoders.build("lead_vit", config.encoder, config.ecg_input())
    store = write_store(tmp_path / "store", SimulatedCohort(patients=4, seed=1))
    tokens = encode_store(store, made, tmp_path / "tokens")
    assert tokens.tokens.shape == (len(store), 40, 96)


# -- settings ----------------------------------------------------------------------------------


def test_the_paper_s_sizes():
    """W 20 x 192, 12 + 50 vectors, 12 blocks of 444,864 and the last norm."""
    made = LeadVit(LeadVitConfig())
    assert sum(p.numel() for p in made.parameters()) == 20 * 192 + 62 * 192 + 12 * 444_864 + 384
    at_500 = LeadVitConfig(ecg_input=EcgInput(rate=500), segment=100)
    assert (at_500.tokens, at_500.steps) == (600, 50)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"segment": 30}, r"encoder\.segment is 30; .* 1, 2, 4, 5, 8, 10, 20"),
        ({"segment": 25, "stem": "residual"}, r"encoder\.segment is 25"),
        ({"segment": 0}, r"encoder\.segment is 0"),
        ({"stem": "conv"}, r"encoder\.stem is 'conv'; choose linear or residual"),
        ({"tokens_out": "some"}, r"encoder\.tokens_out is 'some'"),
        ({"heads": 0}, r"encoder\.heads is 0"),
        ({"head_size": 0}, r"encoder\.head_size is 0"),
        ({"dropout": 1.0}, r"encoder\.dropout is 1"),
        ({"width": 15, "stem": "residual"}, r"encoder\.width is 15"),
    ],
)
def test_an_impossible_setting_is_named(wrong, named):
    with pytest.raises(ConfigError, match=named) as caught:
        encoders.configure("lead_vit", wrong, EcgInput())
    assert "\n" not in str(caught.value)
