"""Ask a language model and keep its answers, so that a run can be repeated without it.

Answers are JSON lines under a key made of the model, the prompt's version and the whole text that
was sent. A run that was interrupted goes on where it stopped. An answer that cannot be read is
asked for once more and then kept as it is, so that a repetition drops it too. As long as no answer
at all could be read nothing is kept: such a model or address is the wrong one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from ecg_lib.chat_endpoint import ChatEndpoint, text_of
from ecg_lib.data.printable import printable
from ecg_lib.disk import writing
from ecg_lib.entities.llm_prompts import Prompt, Prompts, shipped_prompts
from ecg_lib.errors import DataError

T = TypeVar("T")
_AT_ONCE = 32  # requests between two writes
_PATIENCE = 32  # unreadable answers before the model is given up


class Asker:
    """A language model with a file of its answers.

    Parameters
    ----------
    model : str
        Name of the model; answers are kept under it.
    cache : path-like
        File of JSON lines.
    endpoint : ChatEndpoint, optional
        Without one, only kept answers are given.
    prompts : Prompts, optional
        Those of `prompts.yaml`.
    workers : int
        Requests that are under way at the same time.
    progress : bool
        Show a bar.

    Attributes
    ----------
    unreadable : Counter
        By prompt, the requests that were dropped because neither answer could be read.
    """

    def __init__(
        self,
        model: str,
        cache: str | os.PathLike,
        endpoint: ChatEndpoint | None = None,
        prompts: Prompts | None = None,
        workers: int = 4,
        progress: bool = False,
    ):
        self.model, self.cache, self.endpoint = model, Path(cache), endpoint
        self.prompts, self.workers = prompts or shipped_prompts(), workers
        self.unreadable: Counter[str] = Counter()
        self._progress = progress
        self._known = _kept(self.cache)
        self._held: dict[str, dict] = {}  # answers that are not written yet
        self._readable = False

    def ask(
        self, name: str, fields: Sequence[Mapping[str, str]], read: Callable[[str], T | None]
    ) -> list[T | None]:
        """Ask one of the prompts for many fillings.

        Parameters
        ----------
        name : str
            Of the prompt.
        fields : sequence of mapping
            What is filled into it.
        read : callable
            Returns None for an answer that cannot be read.

        Returns
        -------
        list
            What was read; None where neither answer could be.

        Raises
        ------
        DataError
            The endpoint does not answer, no answer can be read, or there is no endpoint and an
            answer is not at hand.
        """
        prompt, results = self.prompts[name], []
        bar = tqdm(total=len(fields), desc=name, disable=not self._progress)
        for start in range(0, len(fields), _AT_ONCE):
            texts = [prompt.filled(own) for own in fields[start : start + _AT_ONCE]]
            answers = self._answers(prompt, texts)
            found = [read(answer) for answer in answers]
            again = [k for k, value in enumerate(found) if value is None]
            more = self._answers(prompt, [f"{texts[k]}\n\n{prompt.again}" for k in again])
            for k, answer in zip(again, more, strict=True):
                found[k] = read(answer)
            self._readable |= any(value is not None for value in found)
            results += found
            self.unreadable[name] += sum(value is None for value in found)
            last = start + _AT_ONCE >= len(fields)
            if not self._readable and (last or len(results) >= _PATIENCE):
                told = printable((more or answers)[0])[:60]
                raise DataError(
                    f"{self.model}: none of {len(results)} answers to prompt {name!r} can be read, "
                    f"such as {told!r}; choose a model that follows instructions"
                )
            self._write()
            bar.update(len(texts))
        bar.close()
        return results

    def _answers(self, prompt: Prompt, texts: Sequence[str]) -> list[str]:
        keys = [self._key(prompt, text) for text in texts]
        new = {k: text for k, text in zip(keys, texts, strict=True) if k not in self._known}
        if new and self.endpoint is None:
            raise DataError(
                f"{self.cache}: {len(new)} answers of {self.model} to prompt {prompt.name!r} are "
                "not there; give the endpoint to ask for them"
            )
        with ThreadPoolExecutor(self.workers) as pool:
            tasks = {key: pool.submit(self._post, prompt, text) for key, text in new.items()}
            try:
                for key, task in tasks.items():
                    answer = task.result()
                    self._known[key] = answer
                    about = {"model": self.model, "prompt": prompt.name, "version": prompt.version}
                    self._held[key] = {"key": key, **about, "answer": answer}
            except DataError:
                pool.shutdown(cancel_futures=True)
                self._write()
                raise
        return [self._known[key] for key in keys]

    def _post(self, prompt: Prompt, text: str) -> str:
        assert self.endpoint is not None
        messages = [{"role": "user", "content": text}]
        return text_of(self.endpoint.ask(messages, max_tokens=prompt.max_tokens))

    def _key(self, prompt: Prompt, text: str) -> str:
        whole = json.dumps([self.model, prompt.name, prompt.version, text])
        return hashlib.sha256(whole.encode()).hexdigest()

    def _write(self) -> None:
        if not self._held or not self._readable:
            return
        with writing(self.cache):
            self.cache.parent.mkdir(parents=True, exist_ok=True)
            with self.cache.open("a", encoding="utf-8") as file:
                if file.tell():
                    file.write("\n")  # a killed run may have left half a line
                file.write("\n".join(json.dumps(entry) for entry in self._held.values()))
                file.flush()
                os.fsync(file.fileno())
        self._held.clear()


def _kept(file: Path) -> dict[str, str]:
    """Read the answers of earlier runs; a line that was cut off is left out."""
    known: dict[str, str] = {}
    if not file.is_file():
        return known
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
            key, answer = entry["key"], entry["answer"]
        except (ValueError, KeyError, TypeError):
            continue
        if isinstance(answer, str):
            known[str(key)] = answer
    return known
