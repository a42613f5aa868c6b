"""The ECG-LLM: a causal language model whose prompt has projected ECG tokens in its slots."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoProcessor,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import ModelOutput

from ecg_lib import encoders
from ecg_lib.ecg_llm.causal_lm import (
    check_fits,
    check_lora,
    check_positions,
    check_usable,
    decode_states,
    final_logits,
    plain_generation,
)
from ecg_lib.ecg_llm.frozen_llm import beside, embeddings_of, found_again
from ecg_lib.ecg_llm.packing import additive, positions
from ecg_lib.ecg_llm.processor import IGNORE, EcgLlmProcessor
from ecg_lib.ecg_llm.projector import Projector
from ecg_lib.encoders.base import EcgEncoder
from ecg_lib.errors import DataError

# What transformers' Auto classes pass to every `from_pretrained`; a saved folder needs none of it.
_FROM_AUTO = {
    *("adapter_kwargs", "cache_dir", "code_revision", "force_download", "local_files_only"),
    *("proxies", "revision", "subfolder", "token", "trust_remote_code"),
}


class EcgLlmConfig(PreTrainedConfig):
    """The name of the language model, the widths of encoder and LLM, and the id of an ECG slot."""

    model_type = "ecg_llm"

    def __init__(
        self,
        language_model: str = "",
        encoder_width: int = 768,
        llm_width: int = 4096,
        slot_id: int = 32000,
        **kwargs,
    ):
        self.language_model = language_model  # hub id, or a folder relative to the saved model
        self.encoder_width, self.llm_width, self.slot_id = encoder_width, llm_width, slot_id
        super().__init__(**kwargs)


@dataclass
class EcgLlmOutput(ModelOutput):
    """The output of `EcgLlm.forward`."""

    loss: Tensor | None = None
    logits: Tensor | None = None  # (number of labelled positions, vocabulary)


class EcgLlm(PreTrainedModel):
    """A frozen ECG encoder and a frozen LLM; only the projector and LoRA adapters are trained.

    The methods take `ecg_tokens` (E, n, D), the encoder's tokens of all ECGs of the batch in
    reading order: row by row, the first ECG of a row before its second. They come from a cache or
    from `encode`.

    Parameters
    ----------
    config : EcgLlmConfig
    encoder : EcgEncoder
    language_model : nn.Module
        A causal LM of transformers, with or without PEFT adapters.
    """

    config_class = EcgLlmConfig
    language_model: Any  # a causal LM of transformers, or PEFT's wrapper, which forwards to it
    # Tells the Trainer not to pass `num_items_in_batch` to `forward`: the loss is a mean over one
    # batch's answer tokens, whatever their number in all batches of a step.
    accepts_loss_kwargs = False

    def __init__(self, config: EcgLlmConfig, encoder: EcgEncoder, language_model: torch.nn.Module):
        super().__init__(config)
        self.encoder = encoder.requires_grad_(False)
        self.language_model = language_model
        self.projector = Projector(config.encoder_width, config.llm_width)

    @classmethod
    def build(
        cls,
        encoder: EcgEncoder,
        language_model: PreTrainedModel,
        slot_id: int,
        name: str = "",
        lora: LoraConfig | None = None,
    ) -> EcgLlm:
        """Join an encoder to any causal LM.

        Parameters
        ----------
        encoder : EcgEncoder
        language_model : PreTrainedModel
        slot_id : int
            Token id of an ECG slot, `EcgLlmProcessor.slot_id`.
        name : str
            Hub id or folder of the language model, under which a saved model finds it again.
        lora : LoraConfig, optional
            Adapters to add.

        Raises
        ------
        ConfigError
            The language model lacks a layer that `lora` names.
        """
        language_model.requires_grad_(False)
        width = embeddings_of(language_model).embedding_dim
        config = EcgLlmConfig(name, encoder.config.width, width, slot_id)
        if lora is None:
            return cls(config, encoder, language_model)
        check_lora(language_model, lora)
        return cls(config, encoder, get_peft_model(language_model, lora))

    @property
    def base_lm(self) -> PreTrainedModel:
        """The causal LM itself, with any adapters inside its layers."""
        lm = self.language_model
        if isinstance(lm, PeftModel):
            lm = lm.get_base_model()
        return lm

    def train(self, mode: bool = True) -> EcgLlm:
        """Set the training mode, but keep the frozen encoder in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    @torch.no_grad()
    def encode(self, ecg: Tensor) -> Tensor:
        """Encode normalised ECGs (E, L, T) to tokens (E, n, D)."""
        return self.encoder(ecg).tokens

    def embed(self, input_ids: Tensor, ecg_tokens: Tensor) -> Tensor:
        """Embed text and write projected ECG tokens (equation 5) into the slots.

        Parameters
        ----------
        input_ids : (B, L) int64
        ecg_tokens : (E, n, D)

        Returns
        -------
        (B, L, H), in the dtype of the language model

        Raises
        ------
        ValueError
            The number of slots in the prompts is not the number that the ECGs fill.
        """
        slots = input_ids == self.config.slot_id  # (B, L)
        table = self.base_lm.get_input_embeddings()
        embeds = table(input_ids.masked_fill(slots, 0))  # (B, L, H)
        projected = self.projector(ecg_tokens.to(self.projector.linear.weight.dtype))
        flat = projected.flatten(0, 1).to(embeds.dtype)  # (E * n / 4, H)
        if int(slots.sum()) != len(flat):
            raise ValueError(
                f"prompts have {int(slots.sum())} ECG slots, but the ECGs fill {len(flat)}; give "
                "each prompt its own ECGs"
            )
        return embeds.masked_scatter(slots.unsqueeze(-1), flat)

    def hidden(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        ecg_tokens: Tensor,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Return the last hidden states of the LLM, (B, L, H).

        Parameters
        ----------
        input_ids : (B, L) int64
        attention_mask : (B, L), or (B, 1, L, L) bool
            With four dimensions: which other tokens each token sees (`packing`).
        ecg_tokens : (E, n, D)
        position_ids : (B, L) int64, optional
            By default those of `positions`.

        Raises
        ------
        DataError
            A prompt has more tokens than the language model has positions.
        """
        packed = attention_mask.dim() == 4
        if position_ids is None and not packed:
            position_ids = positions(attention_mask)
        if position_ids is not None:
            check_positions(self.base_lm, position_ids, packed)
        embeds = self.embed(input_ids, ecg_tokens)
        if packed:
            attention_mask = additive(attention_mask, embeds.dtype)
        return decode_states(self.base_lm, embeds, attention_mask, position_ids)

    def head(self, hidden: Tensor) -> Tensor:
        """Turn last hidden states (..., H) into the language model's logits (..., V)."""
        return final_logits(self.base_lm, hidden)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        ecg_tokens: Tensor,
        labels: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> EcgLlmOutput:
        """Compute the next-token loss on the answers, with logits only where they are needed.

        `forward_plain` is the readable reference that computes all logits.

        Parameters
        ----------
        input_ids, attention_mask, ecg_tokens, position_ids
            As for `hidden`.
        labels : (B, L) int64, optional
            Token ids of the answers, `IGNORE` elsewhere.

        Returns
        -------
        EcgLlmOutput
            With labels, the mean loss and the logits of all answer tokens in reading order. Without
            labels, no loss and the logits (B, V) of the last position.
        """
        hidden = self.hidden(input_ids, attention_mask, ecg_tokens, position_ids)  # (B, L, H)
        if labels is None:
            last = hidden[:, -1].contiguous()  # (B, H), of left-padded prompts
            return EcgLlmOutput(logits=self.head(last))  # (B, V)
        wanted = labels[:, 1:] != IGNORE  # position t predicts t + 1
        logits = self.head(hidden[:, :-1][wanted]).float()  # (labelled positions, V)
        return EcgLlmOutput(F.cross_entropy(logits, labels[:, 1:][wanted]), logits)

    def forward_plain(
        self, input_ids: Tensor, attention_mask: Tensor, ecg_tokens: Tensor, labels: Tensor
    ) -> Tensor:
        """Compute the loss of `forward` from all logits of the LLM's own forward pass."""
        embeds = self.embed(input_ids, ecg_tokens)
        logits = self.language_model(
            inputs_embeds=embeds,
            attention_mask=attention_mask,
            position_ids=positions(attention_mask),
        ).logits
        return F.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=IGNORE
        )

    @torch.no_grad()
    def generate(
        self, input_ids: Tensor, attention_mask: Tensor, ecg_tokens: Tensor, **kwargs
    ) -> Tensor:
        """Continue left-padded prompts; return the new token ids only.

        Further keyword arguments go to transformers' `generate`. Without any, the answer is greedy:
        the settings in the language model's folder do not count.

        Raises
        ------
        DataError
            A prompt and its answer have more tokens than the language model has positions.
        """
        longest = int(attention_mask.sum(-1).max())
        check_fits(self.base_lm, longest, kwargs.get("max_new_tokens") or 0)
        embeds = self.embed(input_ids, ecg_tokens)
        return plain_generation(self.base_lm).generate(
            inputs_embeds=embeds, attention_mask=attention_mask, **kwargs
        )

    # Saving and loading are this library's own, so their arguments are not those of transformers.
    def save_pretrained(  # type: ignore[override]
        self, folder: str | Path, processor: EcgLlmProcessor | None = None
    ) -> None:
        """Write config, encoder, projector (safetensors) and adapters (as PEFT saves them).

        The frozen language model is not copied; the config names it. If it is a folder, its path is
        stored relative to the saved model, so that both can be moved together.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = self.config.language_model
        if os.path.isdir(name):
            self.config.language_model = beside(name, folder)
        self.config.save_pretrained(folder)
        self.config.language_model = name
        self.encoder.save_pretrained(folder / "encoder")
        state = {k: v.contiguous() for k, v in self.projector.state_dict().items()}
        save_file(state, str(folder / "projector.safetensors"))
        if isinstance(self.language_model, PeftModel):
            self.language_model.save_pretrained(str(folder / "adapter"))
        if processor is not None:
            processor.save_pretrained(folder)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        folder: str | Path,
        dtype: torch.dtype | str | None = None,
        language_model: str | None = None,
        trainable: bool = False,
        config: EcgLlmConfig | None = None,
        **from_auto: Any,
    ) -> EcgLlm:
        """Load what `save_pretrained` wrote, in evaluation mode.

        Parameters
        ----------
        folder : str or Path
        dtype : torch.dtype or str, optional
            Of the language model, as for transformers' `from_pretrained`.
        language_model : str, optional
            Hub id or folder of the language model, if not the one in the config.
        trainable : bool
            Whether the adapters are to be trained further.
        config : EcgLlmConfig, optional
            By default the saved one; `AutoModel` passes what it has read.
        **from_auto
            What transformers' Auto classes add for models on the hub; not used.

        Raises
        ------
        FileNotFoundError
            The folder holds no saved ECG-LLM. Missing weights are never replaced by random ones.
        DataError
            Its language model is missing, or is not the one it was trained with.
        """
        if unknown := {k for k in from_auto if not k.startswith("_")} - _FROM_AUTO:
            raise TypeError(f"from_pretrained has no argument {min(unknown)!r}; leave it out")
        folder = Path(folder)
        if not (folder / "projector.safetensors").is_file():
            raise FileNotFoundError(
                f"{folder}: no saved ECG-LLM (projector.safetensors is missing); give "
                "another folder"
            )
        config = EcgLlmConfig.from_pretrained(folder) if config is None else config
        name = language_model or found_again(folder, config.language_model)
        lm: Any = AutoModelForCausalLM.from_pretrained(name, dtype=dtype)
        if (width := embeddings_of(lm).embedding_dim) != config.llm_width:
            raise DataError(
                f"{folder}: language model {name} has width {width}, but the projector was trained "
                f"for {config.llm_width}; give the language model it was trained with"
            )
        lm.requires_grad_(False)
        check_usable(lm.eval())
        if (folder / "adapter").is_dir():
            lm = PeftModel.from_pretrained(lm, str(folder / "adapter"), is_trainable=trainable)
        config.language_model = name
        model = cls(config, encoders.load(folder / "encoder"), lm)
        model.projector.load_state_dict(load_file(str(folder / "projector.safetensors")))
        return model.eval()


AutoConfig.register(EcgLlmConfig.model_type, EcgLlmConfig, exist_ok=True)
AutoModel.register(EcgLlmConfig, EcgLlm, exist_ok=True)
AutoProcessor.register(EcgLlmConfig, EcgLlmProcessor, exist_ok=True)
