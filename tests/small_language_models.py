"""Small random language models of several architectures, saved as a user would have them."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import torch
from paper_models import llama_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

ASKED = ["Is it normal?", "Is there any sinus rhythm at all in this one?", "Which findings?"]
TEXTS = [
    *ASKED,
    "This is an electrocardiogram. Here are two electrocardiograms. The first is",
    "Answer the following questions based on the above content: yes no Yes No not sure",
    "normal ecg; sinus rhythm; left bundle branch block",
] * 9
END = "<|endoftext|>"
# What a model folder may ask of generation; none of it may reach an answer.
CHAT = {
    "do_sample": True,
    "temperature": 0.6,
    "top_k": 3,
    "repetition_penalty": 9.0,
    "num_beams": 3,
    "no_repeat_ngram_size": 1,
    "forced_bos_token_id": 7,
    "forced_eos_token_id": 7,
    "suppress_tokens": list(range(100, 140)),
    "begin_suppress_tokens": list(range(140, 180)),
    "bad_words_ids": [[81], [82]],
    "max_length": 9,
    "min_new_tokens": 5,
    "exponential_decay_length_penalty": [1, 2.0],
}


def gpt2_tokens(prefix_space: bool = False, added_pad: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level tokens; there is no padding token unless one is added past the vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=380, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)
    if added_pad:
        fast.add_special_tokens({"pad_token": "[PAD]"})
    return fast


def llama_tokens() -> PreTrainedTokenizerFast:
    special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=llama_tokenizer(TEXTS, 420), **special)


def word_tokens() -> PreTrainedTokenizerFast:
    """Whole words without spaces; no text begins or ends with a token of its own."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(special_tokens=["[UNK]", "[PAD]"], show_progress=False)
    tokenizer.train_from_iterator([*TEXTS, *(chr(33 + i) for i in range(94))], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]")


TOKENS = {
    "llama": llama_tokens,
    "gpt2": gpt2_tokens,
    "gpt2, padded": lambda: gpt2_tokens(prefix_space=True, added_pad=True),
    "words": word_tokens,
}


@dataclass(frozen=True)
class Kind:
    """An architecture: its model type, tokenizer, LoRA targets and settings."""

    model_type: str
    tokens: str
    adapted: list[str]
    settings: dict = field(default_factory=dict)

    def save(self, folder: Path) -> Path:
        """Save a model and its tokenizer in `folder`, with generation settings of a chat model."""
        torch.manual_seed(0)
        tokenizer = TOKENS[self.tokens]()
        config = AutoConfig.for_model(
            self.model_type, vocab_size=tokenizer.vocab_size, **self.settings
        )
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "generation_config.json").write_text(json.dumps(CHAT))
        return folder


_ROTARY = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 160, "initializer_range": 0.3,
}  # fmt: skip
_GEMMA = {**_ROTARY, "head_dim": 8, "pad_token_id": 0}
KINDS = {
    "llama": Kind("llama", "llama", ["q_proj", "k_proj"], _ROTARY),
    "qwen2": Kind("qwen2", "gpt2", ["q_proj", "v_proj"], _ROTARY),
    "gpt2": Kind(
        "gpt2", "gpt2, padded", ["c_attn"],
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 160, "initializer_range": 0.3},
    ),
    "opt": Kind(
        "opt", "words", ["q_proj", "k_proj"],
        {"hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "word_embed_proj_dim": 16, "max_position_embeddings": 160, "init_std": 0.3},
    ),
    "gemma": Kind("gemma", "gpt2, padded", ["q_proj", "k_proj"], _GEMMA),
    "gemma2": Kind(
        "gemma2", "gpt2", ["q_proj", "k_proj"],
        {**_GEMMA, "final_logit_softcapping": 2.0, "sliding_window": 128},
    ),
    "cohere": Kind("cohere", "llama", ["q_proj", "k_proj"], {**_ROTARY, "logit_scale": 0.3}),
    "bloom": Kind(
        "bloom", "words", ["query_key_value"],
        {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3},
    ),
    "mistral": Kind("mistral", "gpt2", ["q_proj"], {**_ROTARY, "sliding_window": 48}),
}  # fmt: skip
