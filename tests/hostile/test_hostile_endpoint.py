"""Malformed replies of a chat endpoint: text is kept as text, anything else told in one line."""

import json
import socket
import threading
import time
from math import log

import numpy as np
import pytest
from ecg_folders import beats
from hostile_run import called

from ecg_lib.blind_test.endpoint import Endpoint

ECG = beats(100).astype(np.float32)


def http(body, status="200 OK", head=""):
    """Return a whole HTTP reply."""
    body = body if isinstance(body, bytes) else body.encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode() + body


def said(content, logprobs=None):
    return {"choices": [{"message": {"content": content}, "logprobs": logprobs}]}


def token(word, logprob):
    tokens = [{"token": word, "logprob": logprob}]
    return said("yes", {"content": [{"top_logprobs": tokens}]})


@pytest.fixture
def serve():
    """Return a function that starts a server with one way of replying, and gives its endpoint."""
    listeners = []

    def start(reply, timeout=30.0):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def run():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    try:
                        client.settimeout(5)
                        client.recv(2**20)
                        reply(client) if callable(reply) else client.sendall(reply)
                        client.shutdown(socket.SHUT_WR)
                        while client.recv(2**20):
                            pass
                    except OSError:
                        pass

        threading.Thread(target=run, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        return Endpoint(url, "m", "numbers", tries=1, timeout=timeout, api_key="secret")

    yield start
    for listener in listeners:
        listener.close()


def drip(client):
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(40):
        client.sendall(b" ")
        time.sleep(0.1)


def hang(client):
    time.sleep(3)


SLOW = (hang, drip)


def endless(client):
    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(300):
        client.sendall(b" " * 2**16)


BAD = {  # a reply: words of the line
    "nothing": (b"", "no answer"),
    "junk": (bytes(range(256)), "no answer"),
    "no status": (b"HTTP/1.1\r\n\r\n", "no answer"),
    "a status of words": (b"HTTP/1.1 fine OK\r\n\r\n", "no answer"),
    "an endless header": (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", "no answer"),
    "1,000 headers": (b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n", "no answer"),
    "a hang": (hang, "no answer"),
    "a drip": (drip, "no answer"),
    "an endless body": (endless, "more than 10,000,000 bytes"),
    "less than announced": (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}", "choices"),
    "a length of words": (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", "choices"),
    "an empty body": (http(""), "no answer"),
    "HTML": (http("<html>\n<b>no</b>"), "no answer"),
    "NUL": (http("\0" * 10), "no answer"),
    "half JSON": (http('{"choices": ['), "no answer"),
    "deep JSON": (http("[" * 100_000), "no answer"),
    "UTF-16": (http(json.dumps("x").encode("utf-16-be")[1:]), "no answer"),
    "a list": (http("[]"), "choices"),
    "a number": (http("1"), "choices"),
    "null": (http("null"), "choices"),
    "no choice": (http('{"choices": []}'), "choices"),
    "choices as an object": (http('{"choices": {"a": 1}}'), "choices"),
    "a choice as text": (http('{"choices": ["yes"]}'), "choices"),
    "content as an object": (http(json.dumps(said({"a": 1}))), "choices"),
    "content as a number": (http(json.dumps(said(7))), "choices"),
    "401": (http("bad\nkey", "401 no"), "answered 401: bad key"),
    "404": (http("", "404 no"), "answered 404"),
    "500": (http("x" * 10_000, "500 no"), "answered 500"),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", "no answer"),
    "a redirection": (http("", "302 x", "Location: http://127.0.0.1:9/\r\n"), "answered 302"),
    "a redirection to a file": (http("", "301 x", "Location: file:///etc/passwd\r\n"), "301"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_reply_is_told_in_one_line(serve, name):
    reply, words = BAD[name]
    timeout = 1.0 if reply in SLOW else 30.0
    ended = called(serve(reply, timeout), [[ECG]], ["Is it?"])
    assert ended.how == "refused" and words in ended.said, ended


@pytest.mark.parametrize(
    "answer",
    [
        said("yes", "x"),
        said("yes", []),
        said("yes", {"content": []}),
        said("yes", {"content": [{"top_logprobs": "yes"}]}),
        said("yes", {"content": [{"top_logprobs": [1]}]}),
        token(1, 0.1),
        token(None, 0.1),
        token("yes", "x"),
        token("yes", None),
        token("yes", 1e308),
        token("yes", float("nan")),
        token("yes", float("inf")),
        token("maybe", log(0.5)),
    ],
)
def test_odd_probabilities_leave_the_answer_without_any(serve, answer):
    ended = called(serve(http(json.dumps(answer))), [[ECG]], ["Is it?"])
    assert ended.how == "read" and (ended.value[0].text, ended.value[0].p_yes) == ("yes", None)


@pytest.mark.parametrize(
    "text", ["", "\0\x1b[2J", "{0} $x$ <b> |", "😀", "y" * 1_000_000], ids=range(5)
)
def test_whatever_a_reply_says_is_text(serve, text):
    ended = called(serve(http(json.dumps(said(text)))), [[ECG]], ["Is it?"])
    assert ended.how == "read" and ended.value[0].text == text


@pytest.mark.parametrize(
    "url",
    ["", "x", "ftp://x", "file:///etc/passwd", "http://", "http://[", "http://a b", "http://a\nb"]
    + ["http://:80", "http://x:99999", "http://x:y", "//x", "HTTP//x", "http://x:0", "-x"],
)
def test_an_address_that_is_none_is_refused(url):
    ended = called(Endpoint, url, "m")
    assert ended.how == "refused" and "give an address that begins with http" in ended.said


def test_the_key_goes_to_no_other_address(serve):
    got = []

    def keep(client):
        got.append(client)

    other = serve(keep)
    away = http("", "302 x", f"Location: {other.url}/\r\n")
    assert called(serve(away), [[ECG]], ["Is it?"]).how == "refused"
    assert not got
