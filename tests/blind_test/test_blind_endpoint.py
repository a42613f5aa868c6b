"""Test a model behind a local OpenAI-compatible server, with pictures and with numbers."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from math import log

import numpy as np
import pytest
from ecg_folders import beats

from ecg_lib.blind_test.endpoint import INSTRUCTION, Endpoint
from ecg_lib.errors import DataError

ECG = beats(100).astype(np.float32)


@pytest.fixture
def server():
    """A server that keeps what it is sent and gives the answers it is told to give."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            served.got.append((self.path, dict(self.headers), body))
            status, answer = served.answers.pop(0) if served.answers else (200, said("yes"))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer if isinstance(answer, bytes) else json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    served = HTTPServer(("127.0.0.1", 0), Handler)
    served.got, served.answers = [], []
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield served
    served.shutdown()
    served.server_close()


def said(text, top=None):
    choice = {"message": {"content": text}}
    if top:
        tokens = [{"token": token, "logprob": log(p)} for token, p in top.items()]
        choice["logprobs"] = {"content": [{"top_logprobs": tokens}]}
    return {"choices": [choice]}


def endpoint(server, **more):
    return Endpoint(f"http://127.0.0.1:{server.server_port}/v1/", "m", **{"tries": 1, **more})


def test_each_ecg_goes_along_as_a_picture_on_paper(server):
    reply = endpoint(server, api_key="secret")([[ECG, ECG]], ["What is new?"])[0]
    path, headers, body = server.got[0]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer secret")
    assert body["model"] == "m" and body["temperature"] == 0
    assert body["messages"][0]["content"] == INSTRUCTION
    parts = body["messages"][1]["content"]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    assert texts == ["Earlier ECG.", "Later ECG.", "What is new?"]
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    data = [base64.b64decode(url.removeprefix("data:image/png;base64,")) for url in urls]
    assert len(data) == 2 and all(png.startswith(b"\x89PNG") for png in data)
    assert (reply.text, reply.p_yes) == ("yes", None)


def test_numbers_are_microvolts_by_lead(server):
    endpoint(server, send="numbers")([[ECG]], ["Is there AF?"])
    text = server.got[0][2]["messages"][1]["content"]
    lead = next(line for line in text.splitlines() if line.startswith("V4: "))
    values = np.array(lead.removeprefix("V4: ").split(), float)
    assert len(values) == 500 and text.endswith("Is there AF?")
    assert values.max() == pytest.approx(1000 * ECG[9].max(), rel=0.1)


def test_p_yes_comes_from_the_first_token_in_all_its_spellings(server):
    server.answers.append((200, said("Yes.", {"Yes": 0.5, " yes": 0.1, "no": 0.2, "I": 0.1})))
    reply = endpoint(server)([[ECG]], ["Is there AF?"])[0]
    assert reply.p_yes == pytest.approx(0.6 / 0.8)


def test_a_busy_endpoint_is_asked_again(server, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda _: None)
    server.answers += [(503, b"busy"), (429, b"slow down"), (200, said("no"))]
    assert endpoint(server, tries=3)([[ECG]], ["?"])[0].text == "no"
    assert len(server.got) == 3


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        (401, b"bad key", "answered 401: bad key"),
        (500, b"oops", "answered 500: oops"),
        (200, b"<html>", "no answer"),
        (200, {"choices": []}, "no choices"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(server, status, answer, message):
    server.answers.append((status, answer))
    with pytest.raises(DataError, match=message) as error:
        endpoint(server)([[ECG]], ["?"])
    assert "\n" not in str(error.value)


def test_nobody_there_is_said_too():
    with pytest.raises(DataError, match="is it running"):
        Endpoint("http://127.0.0.1:9", "m", tries=1)([[ECG]], ["?"])


@pytest.mark.parametrize(
    ("url", "send", "message"),
    [("ftp://x", "image", "begins with http"), ("http://x", "video", "use image or numbers")],
)
def test_impossible_settings_are_refused(url, send, message):
    with pytest.raises(DataError, match=message):
        Endpoint(url, "m", send)
