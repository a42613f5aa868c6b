"""Let a model answer question rows: closed answers are scored, open ones generated greedily."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from ecg_lib.ecg_llm.model import EcgLlm
from ecg_lib.ecg_llm.packing import (
    batches,
    ends,
    grouped,
    pack,
    packed_batch,
    positions,
    shared_length,
)
from ecg_lib.ecg_llm.processor import EcgLlmProcessor
from ecg_lib.encoders.token_cache import EcgTokens

_TOGETHER = 16  # questions in a sequence at most: the mask grows with its square


def _batches(prompts: list[list[int]], batch_size: int, title: str):
    """Indices of prompts in batches of similar length."""
    order = np.argsort([len(p) for p in prompts], kind="stable")
    for start in tqdm(range(0, len(order), batch_size), desc=title, leave=False):
        yield order[start : start + batch_size].tolist()


def _inputs(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    prompts: list[list[int]],
    ecgs: list[list[str]],
    tokens: EcgTokens,
) -> dict[str, Tensor]:
    batch = processor.prompts(prompts)
    batch["ecg_tokens"] = tokens.get([e for row in ecgs for e in row])
    return {name: value.to(model.device) for name, value in batch.items()}


def first_token_scores(logits: Tensor, processor: EcgLlmProcessor) -> tuple[Tensor, Tensor]:
    """(B, V) logits -> P(yes) and the closed answer (0 yes, 1 no, 2 not sure) of each row.

    P(yes) is normalised over the first tokens of yes and no, in all their spellings. A token with
    which several answers begin, such as Llama's bare space, counts for none of them.
    """
    yes, no = processor.yes_no_ids()
    shared = {*processor.verbaliser("yes"), *processor.verbaliser("no")}
    unsure = [i for i in processor.verbaliser("not sure") if i not in shared]
    scores = torch.stack(
        [
            logits[:, ids].float().logsumexp(-1)
            if ids
            else torch.full_like(logits[:, 0], -torch.inf, dtype=torch.float)
            for ids in (yes, no, unsure)
        ],
        dim=-1,
    )  # (B, 3)
    return scores[:, :2].softmax(-1)[:, 0], scores.argmax(-1)


@torch.no_grad()
def score_yes(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    questions: list[str],
    ecgs: list[list[str]],
    tokens: EcgTokens,
    batch_size: int = 128,
) -> tuple[np.ndarray, np.ndarray]:
    """P(yes) and closed answer of each question; those about one ECG, or pair, share a sequence.

    `score_yes_plain` is the readable reference that asks each alone.
    """
    prompts = _prompts(processor, questions, ecgs)
    p_yes, choice = np.zeros(len(prompts)), np.zeros(len(prompts), dtype=int)
    groups = grouped([tuple(e) for e in ecgs], _TOGETHER)
    packed = [pack([prompts[i] for i in group], [()] * len(group)) for group in groups]
    lengths = [len(row["input_ids"]) for row in packed]
    head = model.base_lm.get_output_embeddings()
    for some in tqdm([*batches(groups, lengths, batch_size)], desc="score", leave=False):
        batch = packed_batch([packed[k] for k in some], processor)
        batch["ecg_tokens"] = tokens.get([e for k in some for e in ecgs[groups[k][0]]])
        last = ends([packed[k] for k in some], batch["input_ids"].shape[1])
        del batch["labels"]
        hidden = model.hidden(**{name: value.to(model.device) for name, value in batch.items()})
        logits = head(hidden[last.to(model.device)])  # (B, L, H) -> (questions, V)
        p, c = first_token_scores(logits, processor)
        rows = [i for k in some for i in groups[k]]
        p_yes[rows], choice[rows] = p.cpu().numpy(), c.cpu().numpy()
    return p_yes, choice


def _prompts(
    processor: EcgLlmProcessor, questions: list[str], ecgs: list[list[str]]
) -> list[list[int]]:
    prompt = cache(processor.prompt_ids)  # many questions are asked about many ECGs
    return [prompt(q, len(e)) for q, e in zip(questions, ecgs, strict=True)]


@torch.no_grad()
def score_yes_plain(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    questions: list[str],
    ecgs: list[list[str]],
    tokens: EcgTokens,
    batch_size: int = 128,
) -> tuple[np.ndarray, np.ndarray]:
    """The same from one sequence for each question."""
    prompts = _prompts(processor, questions, ecgs)
    p_yes, choice = np.zeros(len(prompts)), np.zeros(len(prompts), dtype=int)
    for rows in _batches(prompts, batch_size, "score"):
        inputs = _inputs(
            model, processor, [prompts[i] for i in rows], [ecgs[i] for i in rows], tokens
        )
        p, c = first_token_scores(model(**inputs).logits, processor)
        p_yes[rows], choice[rows] = p.cpu().numpy(), c.cpu().numpy()
    return p_yes, choice


@torch.no_grad()
def score_yes_to_each(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    questions: list[str],
    ecg_ids: list[str],
    tokens: EcgTokens,
    batch_size: int = 128,
) -> np.ndarray:
    """P(yes) to the same questions about each of many ECGs, (ECGs, questions).

    What all prompts begin with, the ECG included, is read once an ECG; each question goes on from
    the keys and values that are left. `score_yes` is the plain reference.
    """
    prompts = [processor.prompt_ids(question, 1) for question in questions]
    shared = shared_length(prompts)
    decoder, head = model.base_lm.get_decoder(), model.base_lm.get_output_embeddings()
    p_yes = np.zeros((len(ecg_ids), len(prompts)))
    for at in tqdm(range(0, len(ecg_ids), batch_size), desc="score", leave=False):
        some = ecg_ids[at : at + batch_size]

        def of_each(ids: list[int], n: int = len(some)) -> Tensor:
            return torch.tensor([ids], device=model.device).expand(n, -1)

        begun = model.embed(of_each(prompts[0][:shared]), tokens.get(some).to(model.device))
        cache = decoder(inputs_embeds=begun, use_cache=True).past_key_values
        for k, prompt in enumerate(prompts):
            hidden = decoder(
                input_ids=of_each(prompt[shared:]), past_key_values=cache, use_cache=True
            ).last_hidden_state  # (B, rest, H)
            scores, _ = first_token_scores(head(hidden[:, -1]), processor)
            p_yes[at : at + len(some), k] = scores.cpu().numpy()
            cache.crop(shared - len(prompt))  # forgets the question
    return p_yes


@torch.no_grad()
def generate_answers(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    questions: list[str],
    ecgs: list[list[str]],
    tokens: EcgTokens,
    max_new_tokens: int = 32,
    batch_size: int = 128,
) -> list[str]:
    """Greedy answers, in batches of similar length; each question has a sequence of its own."""
    prompts = _prompts(processor, questions, ecgs)
    answers = [""] * len(prompts)
    for rows in _batches(prompts, batch_size, "generate"):
        inputs = _inputs(
            model, processor, [prompts[i] for i in rows], [ecgs[i] for i in rows], tokens
        )
        new = model.generate(
            **inputs,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=processor.pad_id,
            eos_token_id=processor.tokenizer.eos_token_id,
        )
        texts = processor.tokenizer.batch_decode(new, skip_special_tokens=True)
        for row, text in zip(rows, texts, strict=True):
            answers[row] = text.strip()
    return answers


CLOSED = np.array(["yes", "no", "not sure"])


def answer_rows(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    rows: pd.DataFrame,
    tokens: EcgTokens,
    batch_size: int = 128,
    max_new_tokens: int = 32,
) -> pd.DataFrame:
    """Answer question rows.

    Returns
    -------
    DataFrame indexed as `rows`: prediction (text) and p_yes (NaN for open questions).
    """
    result = pd.DataFrame({"prediction": "", "p_yes": np.nan}, index=rows.index)
    verify = rows["question_type"].str.endswith("verify").to_numpy()
    for closed in (True, False):
        part = rows[verify == closed]
        if part.empty:
            continue
        questions, ecgs = part["question"].tolist(), [list(e) for e in part["ecg_id"]]
        if closed:
            p_yes, choice = score_yes(model, processor, questions, ecgs, tokens, batch_size)
            result.loc[part.index, "p_yes"] = p_yes
            result.loc[part.index, "prediction"] = CLOSED[choice]
        else:
            result.loc[part.index, "prediction"] = generate_answers(
                model, processor, questions, ecgs, tokens, max_new_tokens, batch_size
            )
    return result


@torch.no_grad()
def read_rows(
    llm: torch.nn.Module,
    processor: EcgLlmProcessor,
    rows: pd.DataFrame,
    report: Callable[[str, np.random.Generator], str],
    seed: int,
    max_new_tokens: int = 32,
    batch_size: int = 128,
) -> pd.Series:
    """Answer question rows with an LLM that reads *about* the ECGs, by the rules of `answer_rows`.

    Closed questions are scored here as well: a chat model opens with "Yes, the ECG ...", and would
    otherwise be marked by its manners.

    Parameters
    ----------
    llm : a causal LM as transformers has it, without ECG slots
    report : ecg_id, rng -> the text in the place of that ECG
    """
    rng = np.random.default_rng(seed)
    prompts = [
        processor.prompt_ids(q, [report(e, rng) for e in ecgs])
        for q, ecgs in zip(rows["question"], rows["ecg_id"], strict=True)
    ]
    verify = rows["question_type"].str.endswith("verify").to_numpy()
    said = np.full(len(rows), "", dtype=object)
    for closed in (True, False):
        places = np.flatnonzero(verify == closed)
        for picked in _batches([prompts[i] for i in places], batch_size, "read"):
            batch = processor.prompts([prompts[i] for i in places[picked]])
            batch = {name: value.to(llm.device) for name, value in batch.items()}
            if closed:
                hidden = llm.get_decoder()(
                    **batch, position_ids=positions(batch["attention_mask"]), use_cache=False
                ).last_hidden_state  # (B, L, H)
                logits = llm.get_output_embeddings()(hidden[:, -1].contiguous())  # (B, V)
                texts = CLOSED[first_token_scores(logits, processor)[1].cpu().numpy()]
            else:
                new = llm.generate(
                    **batch,
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    pad_token_id=processor.pad_id,
                    eos_token_id=processor.tokenizer.eos_token_id,
                )
                texts = [
                    text.strip()
                    for text in processor.tokenizer.batch_decode(
                        new[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
                    )
                ]
            said[places[picked]] = texts
    return pd.Series(said, index=rows.index, name="prediction")
