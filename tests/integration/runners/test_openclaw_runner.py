"""The openclaw runner against a stand-in that answers as the real gateway was seen to; tests/openclaw runs the real one."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from dispatcher.config.credential import Credential
from dispatcher.config.runners import OPENCLAW_MESSAGE
from dispatcher.core.models import Busy, Event, Failed, HeartbeatRequest, Ran
from tests.support.receiver import Got, Handler, Play, Receiver, Reply, answering
from tests.support.requests import request
from workers.runners import Cancelled, Control, RunResult
from workers.runners.openclaw import BODY_BYTES, OpenClawRunner

TOKEN = "a-hook-token-of-some-length"
PATIENCE_S = 30.0


def turn(status: str | None = "ok", run: str = "r-1") -> Reply:
    completion = {} if status is None else {"completion": {"status": status, "replyDisposition": "silent"}}
    return Reply(200, json.dumps({"ok": True, "runId": run, **completion}).encode())


def refusal(status: int, error: str = "no", *headers: tuple[str, str]) -> Reply:
    return Reply(status, json.dumps({"ok": False, "error": error}).encode(), headers)


def runner(receiver: Receiver, token: str = TOKEN) -> OpenClawRunner:
    return OpenClawRunner(receiver.url.replace("/wake", "/hooks"), Credential(plain=token), OPENCLAW_MESSAGE)


def run(play: Play, asked: HeartbeatRequest | None = None) -> tuple[RunResult, list[Got]]:
    with Receiver(play) as receiver:
        return runner(receiver).run(asked or request(), Control(600)), receiver.got


def attempt(n: int) -> HeartbeatRequest:
    return request(batch_id="ops-17", token=100 + n).model_copy(update={"attempt": n})


def test_the_gateway_is_asked_for_one_turn_of_that_agent_in_that_session() -> None:
    parent = f"00-{'0' * 31}1-{'0' * 15}1-01"
    result, (got,) = run(answering(turn()), request(batch_id="ops-17", output="2 failed\n", trace={"traceparent": parent}))
    assert got.headers["traceparent"] == parent
    assert result == Ran(note="run r-1: reply silent")
    assert (got.path, got.headers["authorization"], got.headers["idempotency-key"]) == ("/hooks/agent", f"Bearer {TOKEN}", "ops-17")
    asked: dict[str, Any] = json.loads(got.body)
    text = asked.pop("message")
    assert asked == {
        "agentId": "ops",
        "sessionKey": "agent:ops:main",
        "sessionMode": "persistent",
        "deliver": False,
        "waitForCompletion": True,
        "name": "Wake",
        "timeoutSeconds": 600,
    }
    assert "1 background command(s)" in text
    assert "untrusted" in text
    assert "- Exec completed (c-1, code 0)\n  | 2 failed\n" in text


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (turn(None), Ran(note="run r-1: the gateway did not wait for its end")),
        (refusal(503, "session busy"), Busy()),
        (refusal(429, "slow down", ("Retry-After", "9")), Busy(retry_after_ms=9_000)),
        (refusal(409, "changed"), Busy()),
        (refusal(400, "unknown agent"), Failed(error="HTTP 400: unknown agent", final=True)),
        (refusal(413, "large"), Failed(error="HTTP 413: large", final=True)),
        (refusal(502, "prep"), Failed(error="HTTP 502: prep")),
        (Reply(500, b"oops"), Failed(error="HTTP 500")),
        (Reply(401, b"Unauthorized"), Failed(error="HTTP 401; the token is not that of hooks.token")),
        (Reply(404, b"Not Found"), Failed(error="HTTP 404; no hooks there: check hooks.enabled and hooks.path, and `url`")),
        (Reply(200, b"<html>"), Failed(error="HTTP 200 without ok: that is no hooks endpoint; check `url`")),
    ],
)
def test_what_the_gateway_says_becomes_an_outcome(reply: Reply, expected: RunResult) -> None:
    result, got = run(answering(reply), attempt(3))
    assert result == expected
    # Asking again under another key could be a second turn.
    assert len(got) == (3 if reply.status == 200 and isinstance(expected, Failed) else 1)


@pytest.mark.parametrize("status", ["error", "skipped"])
def test_a_turn_that_failed_is_answered_with_200_and_still_failed(status: str) -> None:
    result, _ = run(answering(turn(status)))
    assert isinstance(result, Failed)
    assert not result.final
    assert "r-1" in result.error


class Remembering:
    """A gateway that gives a key the answer it gave it before, if the request is the same. `statuses`: of its turns, in order."""

    def __init__(self, *statuses: str) -> None:
        self.left, self.turns, self.known = list(statuses), 0, dict[tuple[str, bytes], Reply]()

    def __call__(self, _: Handler, got: Got) -> Reply:
        key = got.headers["idempotency-key"], got.body
        if key not in self.known:
            self.turns += 1
            self.known[key] = turn(self.left.pop(0), f"r-{self.turns}")
        return self.known[key]


def test_a_failed_turn_is_really_tried_again_although_the_gateway_remembers_it() -> None:
    gateway = Remembering("error", "error", "ok")
    with Receiver(gateway) as receiver:
        results = [runner(receiver).run(attempt(n), Control(600)) for n in (1, 2, 3)]
    assert [type(result) for result in results] == [Failed, Failed, Ran]
    assert gateway.turns == 3


def test_a_turn_whose_answer_was_lost_is_not_taken_twice() -> None:
    gateway = Remembering("ok")

    def losing_the_first(handler: Handler, got: Got) -> Reply | None:
        reply = gateway(handler, got)
        return reply if len(receiver.got) > 1 else None

    with Receiver(losing_the_first) as receiver:
        lost = runner(receiver).run(attempt(1), Control(600))
        assert isinstance(lost, Failed)
        assert not lost.final
        assert runner(receiver).run(attempt(2), Control(600)) == Ran(note="run r-1: reply silent")
    assert gateway.turns == 1


def test_a_gateway_that_is_away_is_no_failure() -> None:
    """It restarts for longer than all attempts together would wait. Each start of a batch that runs again counts, so those grow rarer."""
    with Receiver(answering(turn())) as receiver:
        away = runner(receiver)
    for attempt_number, wait_ms in ((1, 5_000), (2, 10_000), (5, 80_000), (19, 600_000)):
        assert away.run(attempt(attempt_number), Control(600)) == Busy(reason="channel-not-ready", retry_after_ms=wait_ms)


def test_a_stop_closes_the_connection() -> None:
    control, answers = Control(600), list[RunResult]()
    with Receiver(lambda handler, _: handler.hang_until_closed()) as receiver:
        waiting = threading.Thread(target=lambda: answers.append(runner(receiver).run(request(), control)))
        waiting.start()
        receiver.has_got()
        control.stop.set()
        waiting.join(PATIENCE_S)
        assert answers == [Cancelled("stop")]
        assert receiver.closed.wait(PATIENCE_S)


@pytest.mark.slow
def test_no_output_makes_the_request_too_large_for_the_gateway() -> None:
    """Line breaks and quotes take two bytes in JSON; the newest events are kept, and what is missing is counted."""
    events = tuple(Event(completion_id=f"c-{n}", text=f"Exec {n} " + "ü" * 400, output='"\n' * 20_000) for n in range(600))
    asked = request().model_copy(update={"events": events, "completion_ids": tuple(event.completion_id for event in events)})
    _, (got,) = run(answering(turn()), asked)
    assert len(got.body) <= BODY_BYTES
    text = json.loads(got.body)["message"]
    assert "Exec 599 " in text
    assert "more are not shown" in text


def test_the_token_is_said_nowhere() -> None:
    with Receiver(answering(Reply(401))) as receiver:
        for token in (TOKEN, "line\x01break", "tökén"):
            made = runner(receiver, token)
            result = made.run(request(), Control(60))
            assert isinstance(result, Failed)
            assert token not in repr(made) + repr(result)
    assert len(receiver.got) == 1
