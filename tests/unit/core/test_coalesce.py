"""Many wakes, one request: what is shown, what is counted, whose reason it carries."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core.coalesce import coalesce, digest, merged, priority
from dispatcher.core.models import Address, Batch, HeartbeatRequest, Intent, Source, Wake

ADDRESS = Address(agent_id="ops", session_key="agent:ops:main")


def wake(number: int, **fields: Any) -> Wake:
    """The wake of completion `c<number>`, exit 0 unless said."""
    base: dict[str, Any] = {"source": Source.EXEC_EVENT, "intent": Intent.EVENT, "reason": "exec-event", "exit_code": 0}
    return Wake(wake_id=f"c{number}", accepted_at_ms=number, **{**base, "text": f"text {number}", **fields})


def request(wakes: list[Wake], outputs: dict[str, str] | None = None, **limits: Any) -> HeartbeatRequest:
    """The request for a batch of these wakes."""
    batch = Batch(batch_id="b1", address=ADDRESS, attempt=2, failures=1, deliveries=3, wakes=tuple(wakes), outputs=outputs or {})
    return coalesce(batch, 77, **limits)


def shown(asked: HeartbeatRequest) -> list[str]:
    """The ids of the events, in order."""
    return [event.completion_id for event in asked.events]


def events_bytes(asked: HeartbeatRequest) -> int:
    """The size of the events as a runner gets them."""
    return len(("[" + ",".join(event.model_dump_json() for event in asked.events) + "]").encode())


def test_a_small_batch_is_shown_whole() -> None:
    asked = request([wake(1, exit_code=3, finished_at="2026-01-01T00:00:00Z"), wake(2, signal="SIGKILL")], {"c1": "one\n", "c2": ""})
    assert (asked.agent_id, asked.session_key, asked.batch_id, asked.attempt, asked.token) == ("ops", "agent:ops:main", "b1", 2, 77)
    assert asked.completion_ids == ("c1", "c2")
    assert [event.model_dump(exclude_defaults=True) for event in asked.events] == [
        {"completion_id": "c1", "text": "text 1", "exit_code": 3, "output": "one\n", "finished_at": "2026-01-01T00:00:00Z"},
        {"completion_id": "c2", "text": "text 2", "exit_code": 0, "signal": "SIGKILL"},
    ]
    assert (asked.digest, asked.truncated) == (None, False)


def test_the_newest_are_shown_oldest_first_and_the_rest_is_counted() -> None:
    asked = request([wake(n) for n in range(200)])
    assert shown(asked) == [f"c{n}" for n in range(150, 200)]
    assert asked.completion_ids == tuple(f"c{n}" for n in range(200))
    assert (asked.digest, asked.truncated) == ("150 more: 150 ok, 0 failed", True)


def test_failures_are_shown_before_successes() -> None:
    wakes = [wake(n, failed=n < 10, exit_code=127 if n < 10 else 0) for n in range(87)]
    asked = request(wakes)
    assert shown(asked) == [f"c{n}" for n in [*range(10), *range(47, 87)]]
    assert asked.digest == "37 more: 37 ok, 0 failed"


def test_more_failures_than_places_shows_the_newest_of_them() -> None:
    asked = request([wake(n, exit_code=1) for n in range(60)] + [wake(60)])
    assert shown(asked) == [f"c{n}" for n in range(10, 60)]
    assert asked.digest == "11 more: 1 ok, 10 failed"


@pytest.mark.parametrize("fields", [{"failed": True}, {"exit_code": 1}, {"signal": "SIGTERM"}, {"timed_out": True}, {"exit_code": -9}])
def test_the_digest_calls_nothing_ok_that_is_not(fields: dict[str, Any]) -> None:
    assert digest([wake(1, **fields), wake(2), wake(3, exit_code=None)]) == "3 more: 2 ok, 1 failed"


def test_long_outputs_share_the_room_and_keep_their_ends() -> None:
    outputs = {f"c{n}": f"{n} begin " + "ä\n" * 20_000 + f" end {n}" for n in range(4)} | {"c4": "short"}
    asked = request([wake(n) for n in range(5)], outputs)
    assert asked.truncated
    assert asked.digest is None
    assert 60_000 < events_bytes(asked) <= 64 * 1024
    assert [event.output[-6:] for event in asked.events] == [" end 0", " end 1", " end 2", " end 3", "short"]
    lengths = [len(event.output) for event in asked.events[:4]]
    assert max(lengths) - min(lengths) <= 2


def test_a_failure_gets_room_for_its_output_first() -> None:
    asked = request([wake(1, exit_code=1), *(wake(n) for n in range(2, 20))], {f"c{n}": "x" * 60_000 for n in range(1, 20)})
    assert len(asked.events) == 19
    assert len(asked.events[0].output) == 60_000
    assert events_bytes(asked) <= 64 * 1024


def test_one_output_larger_than_the_room_is_cut_not_left_out() -> None:
    asked = request([wake(1)], {"c1": '"' * 65_536})
    assert asked.truncated
    assert 30_000 < len(asked.events[0].output) < 33_000
    assert events_bytes(asked) <= 64 * 1024


@pytest.mark.parametrize(("limits", "ids"), [({"max_events": 1}, ["c2"]), ({"max_events": 0}, []), ({"max_bytes": 300}, ["c1", "c2"]),
                                             ({"max_bytes": 150}, ["c2"]), ({"max_bytes": 10}, [])])  # fmt: skip
def test_what_does_not_fit_is_counted(limits: dict[str, Any], ids: list[str]) -> None:
    asked = request([wake(1), wake(2)], **limits)
    assert shown(asked) == ids
    assert asked.truncated is (len(ids) < 2)
    assert asked.digest == (None if len(ids) == 2 else f"{2 - len(ids)} more: {2 - len(ids)} ok, 0 failed")


def test_untrusted_text_comes_out_clean_and_bounded() -> None:
    dirty = wake(2, text="\x1b[1mb\x00", signal="SIG\x07X", reason="r\x1b[0m\x00")
    asked = request([wake(1, text="t" * 5000), dirty], {"c2": "o\x1b]0;x\x07ut\ud800"})
    assert asked.reason == "r"
    assert asked.events[0].text == "t" * 1000
    assert (asked.events[1].text, asked.events[1].signal, asked.events[1].output) == ("b", "SIGX", "out")
    assert asked.truncated
    assert asked.untrusted == ("events[].text", "events[].output", "events[].signal", "reason")


def test_the_same_batch_makes_the_same_request() -> None:
    wakes, outputs = [wake(n, exit_code=n % 3) for n in range(80)], {f"c{n}": "z" * n * 100 for n in range(80)}
    assert request(wakes, outputs) == request(wakes, dict(reversed(outputs.items())))


def test_the_newest_trace_is_passed_on() -> None:
    traced = [wake(1, trace={"traceparent": "00-a"}), wake(2, trace={"traceparent": "00-b"}), wake(3)]
    assert request(traced).trace == {"traceparent": "00-b"}
    assert request([wake(1)]).trace is None


@pytest.mark.parametrize(
    ("intent", "source", "rank"),
    [
        (Intent.MANUAL, Source.MANUAL, 3), (Intent.IMMEDIATE, Source.RETRY, 3),
        (Intent.EVENT, Source.EXEC_EVENT, 2), (Intent.TASK, Source.CRON, 2), (Intent.SCHEDULED, Source.OTHER, 1),
        (Intent.TASK, Source.INTERVAL, 1), (Intent.EVENT, Source.RETRY, 0),
    ],
)  # fmt: skip
def test_priorities(intent: Intent, source: Source, rank: int) -> None:
    assert priority(wake(1, intent=intent, source=source)) == rank


def test_a_merged_wake_has_the_reason_of_the_weightiest_and_the_urgency_of_the_most_urgent() -> None:
    tick = wake(1, intent=Intent.SCHEDULED, source=Source.INTERVAL, reason="interval")
    first, second = wake(2, reason="first"), wake(3, reason="second")
    person = wake(4, intent=Intent.MANUAL, source=Source.MANUAL, reason="asked")
    now = wake(5, intent=Intent.IMMEDIATE, source=Source.HOOK, reason="now")
    assert merged([first, second, tick]) == ("second", Intent.EVENT, Source.EXEC_EVENT)
    assert merged([person, first, now]) == ("now", Intent.MANUAL, Source.HOOK)
    assert merged([tick, wake(6, source=Source.RETRY, reason="again")]) == ("interval", Intent.EVENT, Source.INTERVAL)
    with pytest.raises(ValueError, match="none"):
        merged([])
