"""Tiny random models saved in the formats of the paper profile's: a Llama-2 and a BERT."""

import json
from pathlib import Path

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizerFast,
    LlamaConfig,
    LlamaForCausalLM,
)

TOKENIZER = {  # tokenizer_config.json of meta-llama/Llama-2-7b-chat-hf
    "add_bos_token": True,
    "add_eos_token": False,
    "bos_token": "<s>",
    "clean_up_tokenization_spaces": False,
    "eos_token": "</s>",
    "legacy": False,
    "model_max_length": 1000000000000000019884624838656,
    "pad_token": None,
    "padding_side": "right",
    "tokenizer_class": "LlamaTokenizer",
    "unk_token": "<unk>",
}


def save_llama(folder: Path, texts, vocabulary: int = 900) -> Path:
    """Save a two-layer Llama-2 in half precision with its tokeniser and chat settings.

    The tokeniser learns from `texts`; "yes", "no" and "not" always become tokens of their own.
    """
    torch.manual_seed(0)
    tokenizer = llama_tokenizer([*texts, *["yes Yes no No not sure Not"] * 1000], vocabulary)
    config = LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        intermediate_size=86,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        rms_norm_eps=1e-5,
        bos_token_id=1,
        eos_token_id=2,
    )
    model = LlamaForCausalLM(config).to(torch.float16)
    chat = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "max_length": 4096}
    model.generation_config.update(**chat, pad_token_id=0)
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(TOKENIZER))
    return folder


def llama_tokenizer(texts, vocabulary: int) -> Tokenizer:
    """Train byte-pair tokens like Llama-2's: spaces are marked, unknown letters become bytes.

    There is no padding token. Ids 0, 1 and 2 are unknown, begin and end; 256 bytes follow.
    """
    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Digits(individual_digits=True)]
    )
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    learner.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=first, show_progress=False)
    )
    stated = json.loads(learner.to_str())["model"]
    merges = [tuple(pair) for pair in stated["merges"]]
    tokenizer = Tokenizer(
        models.BPE(stated["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def save_bert(folder: Path, texts) -> Path:
    """Save a two-layer BERT with word pieces, cased like Bio_ClinicalBERT."""
    torch.manual_seed(0)
    words = sorted({letter for text in texts for letter in text if letter.strip()})
    pieces = [*words, *(f"##{letter}" for letter in words)]
    folder.mkdir(parents=True)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *pieces]) + "\n")
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), do_lower_case=False)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
