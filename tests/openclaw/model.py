"""The only model provider of the tested gateway: OpenAI chat completions on loopback; says what its test wants, keeps prompts."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SAY_NOTHING = "NO_REPLY"


@dataclass(frozen=True)
class Asked:
    """One request for a completion: when it came, by the wall clock, and the whole of what the model could read."""

    at_s: float
    text: str
    last_user: str


class Model(ThreadingHTTPServer):
    """`plays` are answered by tool calls, the first whose word stands in the newest words of users, each once; anything else by silence."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.base = f"http://127.0.0.1:{self.server_port}/v1"
        self.asked: list[Asked] = []
        self.plays: dict[str, list[dict[str, Any]]] = {}
        self.hold = threading.Event()  # clear: answers wait
        self.hold.set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def turns_with(self, word: str) -> list[Asked]:
        """The requests that began a turn about this: the word stands in the newest user message, and no tool has answered since."""
        return [asked for asked in self.asked if word in asked.last_user]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        messages = request.get("messages", [])
        spoken = max((n for n, m in enumerate(messages) if m.get("role") in ("assistant", "tool")), default=-1)
        # The gateway puts what it knows beside what was said, so all that came since the model spoke is the newest word. While tools are
        # answering there is none.
        newest = "\n".join(_text(m) for m in messages[spoken + 1 :] if m.get("role") == "user")
        self.asked.append(Asked(time.time(), json.dumps(messages, ensure_ascii=False), newest))
        self.hold.wait(60)
        word = next((word for word in self.plays if word in newest), None)
        if word is None:
            return {"role": "assistant", "content": SAY_NOTHING}
        calls = enumerate(self.plays.pop(word))  # once: a silent reply may be left out of the transcript, and the words come again
        made = [(n, {"name": "exec", "arguments": json.dumps(arguments)}) for n, arguments in calls]
        tools = [{"index": n, "id": f"call_{time.time_ns()}_{n}", "type": "function", "function": function} for n, function in made]
        return {"role": "assistant", "content": None, "tool_calls": tools}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Model

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
        said = self.server.answer(request)
        end = "tool_calls" if said.get("tool_calls") else "stop"
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        head = {"id": "c", "created": int(time.time()), "model": request.get("model", "stand-in")}
        if request.get("stream"):
            chunks = [
                {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": said, "finish_reason": None}]},
                {**head, "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": end}], "usage": usage},
            ]
            body = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
            self._send(body.encode(), "text/event-stream")
        else:
            choice = {"index": 0, "message": said, "finish_reason": end}
            self._send(json.dumps({**head, "object": "chat.completion", "choices": [choice], "usage": usage}).encode(), "application/json")

    def do_GET(self) -> None:
        self._send(b'{"object": "list", "data": [{"id": "stand-in", "object": "model"}]}', "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ARG002  the signature is the base class's
        return


def _text(message: dict[str, Any]) -> str:
    content = message.get("content")
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
