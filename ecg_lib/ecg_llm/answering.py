"""Answering of question rows by a model: closed answers are scored, open ones generated."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from ecg_lib.ecg_llm.causal_lm import (
    attention_window,
    check_fits,
    decode_states,
    final_logits,
    plain_generation,
    shares_prefix,
)
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
from ecg_lib.encoders.token_cache import TokenSource

if TYPE_CHECKING:
    from ecg_lib.ecg_llm.frozen_llm import CausalLm

_TOGETHER = 16  # most questions per sequence: the mask grows with the square of its length


def _batches(prompts: list[list[int]], batch_size: int, title: str):
    """Yield the indices of prompts in batches of similar length."""
    order = np.argsort([len(p) for p in prompts], kind="stable")
    for start in tqdm(range(0, len(order), batch_size), desc=title, leave=False):
        yield order[start : start + batch_size].tolist()


def _inputs(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    prompts: list[list[int]],
    ecgs: list[list[str]],
    tokens: TokenSource,
) -> dict[str, Tensor]:
    batch = processor.prompts(prompts)
    batch["ecg_tokens"] = tokens.get([e for row in ecgs for e in row])
    return {name: value.to(model.device) for name, value in batch.items()}


def first_token_scores(logits: Tensor, processor: EcgLlmProcessor) -> tuple[Tensor, Tensor]:
    """Read P(yes) and the closed answer from the logits of an answer's first token.

    A token with which several answers begin, such as Llama's bare space, counts for none of them.

    Parameters
    ----------
    logits : (B, V)
    processor : EcgLlmProcessor

    Returns
    -------
    p_yes : (B,) float32
        P(yes), normalised over the first tokens of yes and no in all their spellings.
    choice : (B,) int64
        0 for yes, 1 for no, 2 for not sure.
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
    tokens: TokenSource,
    batch_size: int = 128,
) -> tuple[np.ndarray, np.ndarray]:
    """Score closed questions; questions about the same ECG or pair share a sequence.

    `score_yes_plain` is the readable reference, with one sequence per question.

    Parameters
    ----------
    model : EcgLlm
    processor : EcgLlmProcessor
    questions : list of str
    ecgs : list of list of str
        For each question, the id of one ECG or of two.
    tokens : TokenSource
    batch_size : int
        Most questions per batch.

    Returns
    -------
    p_yes : (questions,) float
    choice : (questions,) int
        As `first_token_scores` returns them.
    """
    prompts = _prompts(processor, questions, ecgs)
    if not _can_share(model, prompts):
        return score_yes_plain(model, processor, questions, ecgs, tokens, batch_size)
    p_yes, choice = np.zeros(len(prompts)), np.zeros(len(prompts), dtype=int)
    groups = grouped([tuple(e) for e in ecgs], _TOGETHER)
    packed = [pack([prompts[i] for i in group], [()] * len(group)) for group in groups]
    lengths = [len(row["input_ids"]) for row in packed]
    for some in tqdm([*batches(groups, lengths, batch_size)], desc="score", leave=False):
        batch = packed_batch([packed[k] for k in some], processor)
        batch["ecg_tokens"] = tokens.get([e for k in some for e in ecgs[groups[k][0]]])
        last = ends([packed[k] for k in some], batch["input_ids"].shape[1])
        del batch["labels"]
        hidden = model.hidden(**{name: value.to(model.device) for name, value in batch.items()})
        logits = model.head(hidden[last.to(model.device)])  # (B, L, H) -> (questions, V)
        p, c = first_token_scores(logits, processor)
        rows = [i for k in some for i in groups[k]]
        p_yes[rows], choice[rows] = p.cpu().numpy(), c.cpu().numpy()
    return p_yes, choice


def _can_share(model: EcgLlm, prompts: list[list[int]]) -> bool:
    """Return whether the language model can read what prompts share only once."""
    window = attention_window(model.base_lm)
    inside = window is None or max(map(len, prompts), default=0) < window
    return inside and shares_prefix(model.base_lm)


def _prompts(
    processor: EcgLlmProcessor, questions: list[str], ecgs: list[list[str]]
) -> list[list[int]]:
    prompt = cache(processor.prompt_ids)  # the same question is asked about many ECGs
    return [prompt(q, len(e)) for q, e in zip(questions, ecgs, strict=True)]


@torch.no_grad()
def score_yes_plain(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    questions: list[str],
    ecgs: list[list[str]],
    tokens: TokenSource,
    batch_size: int = 128,
) -> tuple[np.ndarray, np.ndarray]:
    """Score closed questions as `score_yes` does, with one sequence per question."""
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
    tokens: TokenSource,
    batch_size: int = 128,
) -> np.ndarray:
    """Ask the same questions about each of many ECGs; return P(yes), (ECGs, questions).

    The beginning that all prompts share, with the ECG in it, is read once per ECG. Each question
    then continues from the cached keys and values. `score_yes` is the plain reference.
    """
    prompts = [processor.prompt_ids(question, 1) for question in questions]
    if not _can_share(model, prompts):
        each = questions * len(ecg_ids), [[ecg] for ecg in ecg_ids for _ in questions]
        alone, _ = score_yes(model, processor, *each, tokens, batch_size)
        return alone.reshape(len(ecg_ids), len(questions))
    check_fits(model.base_lm, max(map(len, prompts)))
    shared = shared_length(prompts)
    decoder = model.base_lm.get_decoder()
    p_yes = np.zeros((len(ecg_ids), len(prompts)))
    for at in tqdm(range(0, len(ecg_ids), batch_size), desc="score", leave=False):
        some = ecg_ids[at : at + batch_size]

        def of_each(ids: list[int], n: int = len(some)) -> Tensor:
            return torch.tensor([ids], device=model.device).expand(n, -1)

        begun = model.embed(of_each(prompts[0][:shared]), tokens.get(some).to(model.device))
        cache = decoder(inputs_embeds=begun, use_cache=True).past_key_values
        for k, prompt in enumerate(prompts):
            hidden = decoder(
                input_ids=of_each(prompt[shared:]),
                position_ids=of_each([*range(shared, len(prompt))]),
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state  # (B, rest, H)
            scores, _ = first_token_scores(model.head(hidden[:, -1]), processor)
            p_yes[at : at + len(some), k] = scores.cpu().numpy()
            cache.crop(shared - len(prompt))  # removes the question
    return p_yes


@torch.no_grad()
def generate_answers(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    questions: list[str],
    ecgs: list[list[str]],
    tokens: TokenSource,
    max_new_tokens: int = 32,
    batch_size: int = 128,
) -> list[str]:
    """Generate answers greedily, in batches of similar length with one sequence per question."""
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
        for row, text in zip(rows, processor.said(new), strict=True):
            answers[row] = text
    return answers


CLOSED = np.array(["yes", "no", "not sure"])


def answer_rows(
    model: EcgLlm,
    processor: EcgLlmProcessor,
    rows: pd.DataFrame,
    tokens: TokenSource,
    batch_size: int = 128,
    max_new_tokens: int = 32,
) -> pd.DataFrame:
    """Answer question rows: score the closed ones, generate answers to the others.

    Parameters
    ----------
    model : EcgLlm
    processor : EcgLlmProcessor
    rows : DataFrame
        Question rows.
    tokens : TokenSource
        Encoder output of all ECGs in `rows`.
    batch_size, max_new_tokens : int

    Returns
    -------
    DataFrame
        Indexed as `rows`: prediction (text) and p_yes (NaN for open questions).
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
    llm: CausalLm,
    processor: EcgLlmProcessor,
    rows: pd.DataFrame,
    report: Callable[[str, np.random.Generator], str],
    seed: int,
    max_new_tokens: int = 32,
    batch_size: int = 128,
) -> pd.Series:
    """Answer question rows with an LLM that reads a text *about* each ECG, as `answer_rows` does.

    Closed questions are scored here too. A chat model begins its answer with "Yes, the ECG ...",
    and exact match would mark its style instead of its answer.

    Parameters
    ----------
    llm : PreTrainedModel
        A causal LM of transformers, without ECG slots.
    processor : EcgLlmProcessor
    rows : DataFrame
        Question rows.
    report : callable
        `report(ecg_id, rng)` returns the text that takes the place of that ECG.
    seed : int
        Random seed of `rng`.
    max_new_tokens, batch_size : int

    Returns
    -------
    Series of str, indexed as `rows`

    Raises
    ------
    DataError
        A prompt has more tokens than the LLM has positions.
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
            check_fits(llm, batch["input_ids"].shape[1], 0 if closed else max_new_tokens)
            if closed:
                ids, mask = batch["input_ids"], batch["attention_mask"]
                embeds = llm.get_input_embeddings()(ids)
                hidden = decode_states(llm, embeds, mask, positions(mask))  # (B, L, H)
                logits = final_logits(llm, hidden[:, -1].contiguous())  # (B, V)
                texts = CLOSED[first_token_scores(logits, processor)[1].cpu().numpy()]
            else:
                new = plain_generation(llm).generate(
                    **batch,
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    pad_token_id=processor.pad_id,
                    eos_token_id=processor.tokenizer.eos_token_id,
                )
                texts = processor.said(new[:, batch["input_ids"].shape[1] :])
            said[places[picked]] = texts
    return pd.Series(said, index=rows.index, name="prediction")
