"""A small local chat server that answers by rule, well or badly."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FINDINGS = ("atrial fibrillation", "afib", "inferior infarct", "anterior infarct", "sinus rhythm")


class ChatServer(ThreadingHTTPServer):
    """Answers like a model that reads well; `rule` may replace the answer to a prompt.

    `got` holds the bodies of all requests.
    """

    daemon_threads = True

    def __init__(self, rule=None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rule, self.got = rule or by_rule, []
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """Say nothing of broken connections."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((dict(self.headers), body))
        said = self.server.rule(body["messages"][-1]["content"])
        if said is None:  # hang up without a word
            self.connection.close()
            return
        status, content = said if isinstance(said, tuple) else (200, said)
        answer = {"choices": [{"message": {"content": content}}]}
        data = content if isinstance(content, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def by_rule(text):
    """Answer the four prompts; extract also what is not there, so that verify has work."""
    if "JSON object" in text and "superclass" in text:
        return 'Sure: {"myocardial infarction": ["inferior infarct", "anterior infarct"]}'
    if "JSON object" in text:
        return '{"afib": "atrial fibrillation"}'
    report = re.search(r"Report: (.*)", text)[1].lower()
    if asked := re.search(r'mention "(.*)"', text):
        denied = f"no {asked[1]}" in report
        return "YES." if asked[1] in report and not denied else "No"
    return f"[{', '.join([f for f in FINDINGS if f in report] + ['ghost'])}]"
