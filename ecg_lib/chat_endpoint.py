"""A chat model behind an OpenAI-compatible endpoint, reached over HTTP.

Nothing is sent anywhere but to the address that is given.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from ecg_lib.data.printable import printable
from ecg_lib.errors import DataError

_LONGEST = 10_000_000  # bytes of a reply


class ChatEndpoint:
    """A chat model that is reached over HTTP.

    Parameters
    ----------
    url : str
        Address up to and without "/chat/completions", such as http://localhost:8000/v1.
    model : str
        Name of the model there.
    api_key : str, optional
        Sent as a bearer token.
    timeout : float
        Seconds to wait for a reply.
    tries : int
        How often to try when the endpoint is busy or does not answer.

    Raises
    ------
    DataError
        The address is not HTTP.
    """

    def __init__(
        self,
        url: str,
        model: str,
        api_key: str | None = None,
        timeout: float = 120.0,
        tries: int = 3,
    ):
        if not _is_http(url):
            raise DataError(f"endpoint {url!r}: give an address that begins with http")
        self.url, self.model = url.rstrip("/"), model
        self.timeout, self.tries, self._key = timeout, tries, api_key

    def ask(self, messages: list[dict], **options: Any) -> dict:
        """Send a conversation at temperature 0 and return the endpoint's whole answer.

        Parameters
        ----------
        messages : list of dict
            `role` and `content` of each.
        **options
            Further fields of the request, such as `max_tokens`.

        Raises
        ------
        DataError
            Nobody answers, or not with JSON.
        """
        body = {"model": self.model, "messages": messages, "temperature": 0, **options}
        return self._post(body)

    def _post(self, body: dict) -> dict:
        headers = {"Content-Type": "application/json"}
        if self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(
            f"{self.url}/chat/completions", json.dumps(body).encode(), headers
        )
        for attempt in range(1, self.tries + 1):
            try:
                with _OPENER.open(request, timeout=self.timeout) as answer:
                    return json.loads(_read(answer, self.timeout))
            except urllib.error.HTTPError as error:
                busy = error.code == 429 or error.code >= 500
                if not busy or attempt == self.tries:
                    text = printable(error.read(200).decode(errors="replace"))
                    raise DataError(f"{self.url} answered {error.code}: {text}") from error
            except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
                if attempt == self.tries:
                    told = printable(f"{error}")[:200] or type(error).__name__
                    raise DataError(f"{self.url}: no answer ({told}); is it running?") from error
            time.sleep(min(2.0**attempt, 30.0))
        raise DataError(f"{self.url}: no answer")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: ECGs and the key go to the address that was given and to no other."""

    def redirect_request(self, *_: object) -> None:
        """Return no further request, so that the redirection counts as an error."""


_OPENER = urllib.request.build_opener(_Stay)


def _is_http(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port  # raises ValueError if it is none
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and port != 0


def _read(answer: http.client.HTTPResponse, seconds: float) -> bytes:
    """Read a reply that may come in drops or never end."""
    end, whole = time.monotonic() + seconds, b""
    while part := answer.read1(2**16):
        whole += part
        if len(whole) > _LONGEST:
            raise ValueError(f"a reply of more than {_LONGEST:,} bytes")
        if time.monotonic() > end:
            raise TimeoutError(f"the reply takes more than {seconds:g} s")
    return whole


def text_of(answer: dict) -> str:
    """Return the text of an endpoint's answer.

    Raises
    ------
    DataError
        The answer has no text.
    """
    try:
        text = answer["choices"][0]["message"]["content"] or ""
        if not isinstance(text, str):
            raise TypeError
    except (KeyError, IndexError, TypeError):
        raise DataError("the endpoint's answer has no choices[0].message.content") from None
    return text
