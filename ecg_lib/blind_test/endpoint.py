"""Put a model behind an OpenAI-compatible endpoint to the blind test.

The ECG goes along as a picture on ECG paper, or as numbers. Nothing is sent anywhere but to the
address that is given.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence

import numpy as np

from ecg_lib.blind_test.replies import Reply
from ecg_lib.chat_endpoint import ChatEndpoint, text_of
from ecg_lib.errors import DataError
from ecg_lib.signal.leads import LEADS
from ecg_lib.signal.resample import to_rate

INSTRUCTION = (
    "You are shown a 12-lead ECG, or an earlier and a later one. Answer the question about it. "
    "Answer a yes/no question with one word, yes or no. Otherwise give only the answer."
)
NUMBERS_RATE = 50  # Hz, enough for the height of a QRS; 10 s of 12 leads are 6,000 numbers
_TOP = 20  # first tokens whose probability an endpoint may return


class Endpoint(ChatEndpoint):
    """A chat model that is reached over HTTP and sees ECGs.

    Parameters
    ----------
    url : str
        Address up to and without "/chat/completions", such as http://localhost:8000/v1.
    model : str
        Name of the model there.
    send : {"image", "numbers"}
        Send each ECG as a PNG on ECG paper, or as numbers in uV at 50 Hz.
    rate : int
        Sampling rate of the ECGs, Hz.
    api_key : str, optional
        Sent as a bearer token.
    timeout : float
        Seconds to wait for a reply.
    tries : int
        How often to try when the endpoint is busy or does not answer.

    Raises
    ------
    DataError
        The address is not HTTP, nobody can be reached by it, or `send` is neither of the two.
    """

    batch_size = 8

    def __init__(
        self,
        url: str,
        model: str,
        send: str = "image",
        rate: int = 100,
        api_key: str | None = None,
        timeout: float = 120.0,
        tries: int = 3,
    ):
        super().__init__(url, model, api_key, timeout, tries)
        if send not in ("image", "numbers"):
            raise DataError(f"send is {send!r}; use image or numbers")
        self.send, self.rate = send, rate
        self.name = f"{model} ({send})"

    def __call__(
        self, ecgs: Sequence[Sequence[np.ndarray]], questions: Sequence[str]
    ) -> list[Reply]:
        """Answer questions, one request each."""
        return [self._ask(own, question) for own, question in zip(ecgs, questions, strict=True)]

    def _ask(self, ecgs: Sequence[np.ndarray], question: str) -> Reply:
        parts: list[dict] = []
        for place, own in enumerate(ecgs):
            title = "" if len(ecgs) == 1 else ("Earlier ECG.", "Later ECG.")[place]
            parts += (
                _as_picture(own, self.rate, title)
                if self.send == "image"
                else _as_numbers(own, self.rate, title)
            )
        parts.append({"type": "text", "text": question})
        content = parts if self.send == "image" else "\n\n".join(part["text"] for part in parts)
        messages: list[dict] = [
            {"role": "system", "content": INSTRUCTION},
            {"role": "user", "content": content},
        ]
        return _reply(self.ask(messages, max_tokens=64, logprobs=True, top_logprobs=_TOP))


def _as_picture(signal_mv: np.ndarray, rate: int, title: str) -> list[dict]:
    from ecg_lib.report.ecg_plot import plot_ecg

    page = io.BytesIO()
    plot_ecg(signal_mv, rate, title).savefig(page, format="png", dpi=100)
    data = base64.b64encode(page.getvalue()).decode()
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    return [{"type": "text", "text": title}, picture] if title else [picture]


def _as_numbers(signal_mv: np.ndarray, rate: int, title: str) -> list[dict]:
    small = np.rint(1000 * to_rate(signal_mv, rate, NUMBERS_RATE)).astype(int)
    head = f"{title} 12-lead ECG, microvolts at {NUMBERS_RATE} Hz.".strip()
    lines = [f"{lead}: {' '.join(map(str, own))}" for lead, own in zip(LEADS, small, strict=True)]
    return [{"type": "text", "text": "\n".join([head, *lines])}]


def _reply(answer: dict) -> Reply:
    """Return the text, and P(yes) if the endpoint says how likely the first tokens were."""
    text = text_of(answer)
    try:
        first = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        mass = {"yes": 0.0, "no": 0.0}
        for token in first:
            word = token["token"].strip().lower()
            if word in mass:
                mass[word] += math.exp(token["logprob"])
        whole = sum(mass.values())
        return Reply(text, mass["yes"] / whole if 0 < whole < math.inf else None)
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError, ValueError):
        return Reply(text)
