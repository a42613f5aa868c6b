"""What one training step of a model costs, counted on its shape: operations and bytes.

Nothing is computed: forward and backward run on the meta device. Frozen weights are counted as
autograd treats them, so that a gradient passes through a frozen layer but none is made for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.projector import FACTOR
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.objectives.parts.clip import EcgClip

ADAM = 8  # bytes a trained weight: two moments in fp32


@dataclass(frozen=True)
class Cost:
    """One sample of a training; operations count a multiplication and an addition as two."""

    parameters: int
    trainable: int
    forward_flops: int
    step_flops: int  # forward and backward
    weight_bytes: int
    gradient_bytes: int
    optimiser_bytes: int
    activation_bytes: int  # held for backward, a sample, by the plain attention
    checkpointed_flops: int | None = None  # step_flops with gradient checkpointing
    checkpointed_bytes: int | None = None  # activation_bytes with gradient checkpointing

    @property
    def state_bytes(self) -> int:
        """Weights, gradients and optimiser: what is held whatever the batch."""
        return self.weight_bytes + self.gradient_bytes + self.optimiser_bytes


class _Saved:
    """Bytes that autograd keeps for backward, each storage once, by the layer that made it."""

    def __init__(self, model: nn.Module, layers: nn.ModuleList | None, counter: FlopCounterMode):
        self.counter, self.layer_flops = counter, 0
        self.own = {p.untyped_storage()._cdata for p in model.parameters()}
        self.kept: list[Tensor] = []  # alive, so that no storage's address is given out twice
        self.bytes: dict[int | None, int] = {None: 0}
        self.now: int | None = None
        self.hooks = []
        for i, layer in enumerate(layers or ()):
            self.hooks.append(layer.register_forward_pre_hook(lambda *_, i=i: self._enter(i)))
            self.hooks.append(layer.register_forward_hook(lambda *_: self._enter(None)))

    def _enter(self, layer: int | None) -> None:
        self.layer_flops += self.counter.get_total_flops() * (1 if layer is None else -1)
        self.now = layer

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in self.own:
            self.own.add(storage._cdata)
            self.kept.append(tensor)
            self.bytes[self.now] = self.bytes.get(self.now, 0) + storage.nbytes()
        return tensor

    def close(self) -> None:
        for hook in self.hooks:
            hook.remove()


def cost_of(
    model: nn.Module,
    loss: Callable[[], Tensor],
    layers: nn.ModuleList | None = None,
    input_bytes: int = 0,
) -> Cost:
    """Cost of one sample.

    Parameters
    ----------
    model : on the meta device (or a real one: it is then really run), in training mode
    loss : the forward pass of one sample
    layers : those that gradient checkpointing would run again in backward
    input_bytes : of one such layer's input, which is all that is then kept of it
    """
    counter = FlopCounterMode(display=False)
    saved = _Saved(model, layers, counter)
    with counter, saved_tensors_hooks(saved.pack, lambda tensor: tensor):
        value = loss()
        forward = counter.get_total_flops()
        value.backward()
        step = counter.get_total_flops()
    saved.close()
    again = within = None
    if layers is not None:
        own = [size for layer, size in saved.bytes.items() if layer is not None]
        within = saved.bytes[None] + input_bytes * len(own) + max(own, default=0)
        again = step + saved.layer_flops
    weights = list(model.parameters())
    trained = [p for p in weights if p.requires_grad]
    return Cost(
        parameters=sum(p.numel() for p in weights),
        trainable=sum(p.numel() for p in trained),
        forward_flops=forward,
        step_flops=step,
        weight_bytes=sum(p.numel() * p.element_size() for p in weights),
        gradient_bytes=sum(p.numel() * p.element_size() for p in trained),
        optimiser_bytes=ADAM * sum(p.numel() for p in trained),
        activation_bytes=sum(saved.bytes.values()),
        checkpointed_flops=again,
        checkpointed_bytes=within,
    )


def clip_cost(clip: EcgClip, text_tokens: int, bf16: bool) -> Cost:
    """One ECG-report pair of contrastive pretraining; the (B, B) products are left out."""
    device = clip.log_scale.device
    words = torch.zeros(1, text_tokens, dtype=torch.long, device=device)

    def loss(dtype: torch.dtype) -> Tensor:
        # A mask of four dimensions is not looked into, which a meta tensor does not allow.
        mask = torch.zeros(1, 1, text_tokens, text_tokens, dtype=dtype, device=device)
        hidden = clip.text_encoder.backbone(input_ids=words, attention_mask=mask).last_hidden_state
        ecg = torch.zeros(1, *clip.ecg_encoder.config.ecg_input.shape, dtype=dtype, device=device)
        text = clip.text_projection(hidden.mean(1))
        return (clip.ecg_projection(clip.ecg_encoder(ecg).cls) * text).sum() * clip.log_scale

    cost = cost_of(clip.train(), lambda: loss(torch.float32))
    if not bf16:
        return cost
    half = cost_of(clip.to(torch.bfloat16), lambda: loss(torch.bfloat16))  # weights stay in fp32
    return Cost(**{**vars(cost), "activation_bytes": half.activation_bytes})


def stage_cost(model: EcgLlm, slots: int, words: int, answer: int) -> Cost:
    """One question row of stage 1 or 2: `slots` ECG tokens, `words` of text, `answer` of them
    answered. The encoder's tokens are cached, so that it takes memory but no time."""
    device, lm = model.device, model.base_lm
    length, encoder = slots + words, model.encoder.config
    decoder, table = lm.get_decoder(), lm.get_input_embeddings()
    dtype = table.weight.dtype

    def loss() -> Tensor:
        ids = torch.zeros(1, words, dtype=torch.long, device=device)
        tokens = torch.zeros(1, FACTOR * slots, encoder.width, device=device)
        ecg = model.projector(tokens).to(dtype)
        mask = torch.zeros(1, 1, length, length, dtype=dtype, device=device)
        hidden = decoder(
            inputs_embeds=torch.cat([ecg, table(ids)], dim=1), attention_mask=mask, use_cache=False
        ).last_hidden_state
        return lm.get_output_embeddings()(hidden[:, -answer:]).float().logsumexp(-1).sum()

    return cost_of(
        model.train(), loss, decoder.layers, length * table.embedding_dim * dtype.itemsize
    )


def encode_flops(encoder: EcgEncoder) -> int:
    """Operations to encode one ECG, once."""
    ecg = torch.zeros(1, *encoder.config.ecg_input.shape, device=encoder.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder.eval()(ecg)
    return counter.get_total_flops()
