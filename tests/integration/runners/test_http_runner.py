"""The http runner against a real socket: what it sends, and what each answer, silence and breach means."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from standardwebhooks.webhooks import Webhook

from dispatcher.config.credential import Credential
from dispatcher.core.models import Busy, Failed, HeartbeatRequest, Ran
from tests.support.receiver import Got, Handler, Receiver, Reply, answering
from tests.support.requests import request
from workers.runners import Cancelled, Control, RunResult
from workers.runners.http import HttpRunner

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()
PARENT = f"00-{'0' * 31}1-{'0' * 15}1-01"
PATIENCE_S = 30.0


def runner(url: str, secret: str = SECRET, ca_file: str | None = None) -> HttpRunner:
    return HttpRunner(url, Credential(plain=secret), ca_file)


def run(url: str, control: Control | None = None, **more: str) -> RunResult:
    return runner(url, **more).run(request(), control or Control(60))


def answer_to(*replies: Reply) -> RunResult:
    with Receiver(answering(*replies)) as receiver:
        return run(receiver.url)


def test_the_request_is_posted_signed_and_says_batch_and_token() -> None:
    asked = request(batch_id="ops-17", token=1795348711992087, trace={"traceparent": PARENT, "tracestate": "a=b"}, output="é\n")
    with Receiver(answering(Reply())) as receiver:
        assert runner(receiver.url).run(asked, Control(60)) == Ran()
    (got,) = receiver.got
    assert (got.method, got.path) == ("POST", "/wake")
    assert HeartbeatRequest.model_validate_json(got.body) == asked
    assert Webhook(SECRET).verify(got.body, dict(got.headers)) == json.loads(got.body)
    expected = {
        "webhook-id": "ops-17",
        "idempotency-key": "ops-17",
        "wake-fencing-token": "1795348711992087",
        "content-type": "application/json",
        "traceparent": PARENT,
        "tracestate": "a=b",
    }
    assert expected.items() <= got.headers.items()


def test_a_second_attempt_is_the_same_message_with_a_newer_token() -> None:
    with Receiver(answering(Reply(500), Reply())) as receiver:
        asked = request(token=7)
        assert isinstance(runner(receiver.url).run(asked, Control(60)), Failed)
        assert runner(receiver.url).run(asked.model_copy(update={"attempt": 2, "token": 8}), Control(60)) == Ran()
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == second.headers["idempotency-key"]
    assert (first.headers["wake-fencing-token"], second.headers["wake-fencing-token"]) == ("7", "8")


def test_each_line_of_the_secret_signs_so_that_a_key_can_be_replaced() -> None:
    with Receiver(answering(Reply())) as receiver:
        run(receiver.url, secret=f"{SECRET}\n\n{OTHER_SECRET}\n")
    for secret in (SECRET, OTHER_SECRET):
        Webhook(secret).verify(receiver.got[0].body, dict(receiver.got[0].headers))


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"", Ran()),
        (b"thanks", Ran()),
        (b"[]", Ran()),
        (b'{"acted": 0, "note": 1}', Ran()),
        (b'{"acted": true, "note": "did it"}', Ran(note="did it")),
        (b'{"acted": false, "note": "nothing \\u001b[31mnew"}', Ran(acted=False, note="nothing new")),
        (b'{"acted": false, "note": "' + b"x" * 100_000 + b'"}', Ran()),
        (b"[" * 50_000, Ran()),
    ],
)
def test_any_2xx_is_ran_and_its_body_may_say_more(body: bytes, outcome: Ran) -> None:
    for status in (200, 202):
        assert answer_to(Reply(status, body)) == outcome


@pytest.mark.parametrize("status", [409, 423, 429, 503])
def test_a_receiver_that_is_busy_is_asked_again_when_it_says(status: int) -> None:
    assert answer_to(Reply(status)) == Busy()
    assert answer_to(Reply(status, headers=(("Retry-After", "7"),))) == Busy(retry_after_ms=7_000)


def test_retry_after_may_be_a_date_of_the_receivers_own_clock() -> None:
    now = datetime(2020, 1, 1, tzinfo=UTC)
    for later_s, asked_ms in ((90, 90_000), (-90, 0), (86_400, 3_600_000)):
        headers = (
            ("Retry-After", format_datetime(now + timedelta(seconds=later_s), usegmt=True)),
            ("Date", format_datetime(now, usegmt=True)),
        )
        with Receiver(_raw(503, headers)) as receiver:
            assert run(receiver.url) == Busy(retry_after_ms=asked_ms)


def test_a_date_without_the_receivers_clock_counts_by_ours() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(minutes=30), usegmt=True)
    with Receiver(_raw(503, (("Retry-After", soon),))) as receiver:
        result = run(receiver.url)
    assert isinstance(result, Busy)
    assert result.retry_after_ms is not None
    assert 20 * 60_000 < result.retry_after_ms <= 30 * 60_000


@pytest.mark.parametrize(
    ("said", "asked_ms"), [("soon", None), ("-5", None), ("", None), ("99999999999999999999", 3_600_000), ("\u0665", None), ("1.5", None)]
)
def test_a_retry_after_that_makes_no_sense_is_ignored(said: str, asked_ms: int | None) -> None:
    with Receiver(_raw(429, (("Retry-After", said),))) as receiver:
        assert run(receiver.url) == Busy(retry_after_ms=asked_ms)


def _raw(status: int, headers: tuple[tuple[str, str], ...]) -> Callable[[Handler, Got], None]:
    """With these headers and no `Date` of the server's own."""
    lines = [f"HTTP/1.1 {status} Busy", *(f"{name}: {value}" for name, value in headers), "Content-Length: 0", "", ""]

    def play(handler: Handler, _: Got) -> None:
        handler.wfile.write("\r\n".join(lines).encode())

    return play


@pytest.mark.parametrize(
    ("status", "final"), [(400, True), (401, True), (404, True), (410, True), (500, False), (502, False), (504, False)]
)
def test_another_4xx_is_final_and_a_5xx_is_not(status: int, final: bool) -> None:
    assert answer_to(Reply(status, b"no \x1b[31m\nsuch thing")) == Failed(error=f"HTTP {status}: no such thing", final=final)


def test_a_redirect_is_not_followed() -> None:
    with Receiver(answering(Reply())) as elsewhere:
        result = answer_to(Reply(307, headers=(("Location", elsewhere.url),)))
    assert isinstance(result, Failed)
    assert "redirect" in result.error
    assert not result.final
    assert not elsewhere.got


def break_off_at_once(handler: Handler, _: Got) -> None:
    handler.connection.close()


def break_off_in_the_answer(handler: Handler, _: Got) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}")


def speak_nonsense(handler: Handler, _: Got) -> None:
    handler.wfile.write(b"\0\0\0 nonsense\r\n\r\n")


@pytest.mark.parametrize("play", [break_off_at_once, break_off_in_the_answer, speak_nonsense])
def test_an_answer_that_breaks_off_or_is_none_leaves_the_end_unknown(play: Callable[[Handler, Got], None]) -> None:
    """So the same batch runs again, and the receiver tells by its id."""
    with Receiver(play) as receiver:
        result = run(receiver.url)
    assert isinstance(result, Failed)
    assert not result.final
    assert len(receiver.got) == 1


def test_nobody_listens() -> None:
    with Receiver(answering(Reply())) as receiver:
        url = receiver.url
    result = run(url)
    assert isinstance(result, Failed)
    assert not result.final
    assert "agent=ops" in result.error


def hang(handler: Handler, _: Got) -> None:
    handler.hang_until_closed()


def drip(handler: Handler, _: Got) -> None:
    """A body that begins, has no length and never ends: only its closing could end it."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n{")
    handler.hang_until_closed()


@pytest.mark.parametrize("play", [hang, drip])
@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("lost", Failed(error="lease lost")),
        ("cancel", Cancelled("cancel")),
        ("stop", Cancelled("stop")),
        ("limit", Failed(error="timeout")),
    ],
)
def test_a_reason_to_end_closes_the_connection(play: Callable[[Handler, Got], None], reason: str, expected: RunResult) -> None:
    control, answers = Control(1.0 if reason == "limit" else 300.0), list[RunResult]()
    with Receiver(play) as receiver:
        turn = threading.Thread(target=lambda: answers.append(run(receiver.url, control)))
        turn.start()
        receiver.has_got()
        if reason != "limit":
            getattr(control, reason).set()
        turn.join(PATIENCE_S)
        assert answers == [expected]
        assert receiver.closed.wait(PATIENCE_S)


def test_with_a_reason_to_end_nothing_is_sent() -> None:
    control = Control(60)
    control.stop.set()
    with Receiver(answering(Reply())) as receiver:
        assert run(receiver.url, control) == Cancelled("stop")
    assert not receiver.got


def test_proxies_of_the_environment_see_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(answering(Reply())) as proxy, Receiver(answering(Reply())) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert run(receiver.url) == Ran()
    assert not proxy.got
