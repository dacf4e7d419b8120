"""What holds for any text and any batch: one answer or one refusal, one canonical form, bounds, and nothing unaccounted for."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from dispatcher.core import schedule
from dispatcher.core import session_key as keys
from dispatcher.core.coalesce import coalesce
from dispatcher.core.errors import InvalidAddress
from dispatcher.core.exec_text import clean, exec_text
from dispatcher.core.identity import derive_completion_id
from dispatcher.core.models import Address, Batch, DeadReason, ExecCompletion, Intent, Source, Wake
from dispatcher.core.resolve import resolve

ANY_TEXT = st.text(st.characters(exclude_categories=[]))  # with control characters and lone surrogates
PARTS = st.sampled_from([
    "agent", "Agent", "ops", "OPS", "lab-1", "main", "cron", "run", "subagent", "signal", "group", "matrix", "channel", "Thread", "!Room",
    "", " ", "x" * 300, "İ", "Ⱥ", "ẞ", "ΑΣ", "\u212a", "global", "\x00", "*",
])  # fmt: skip
KEYS = ANY_TEXT | st.lists(PARTS | ANY_TEXT, max_size=8).map(":".join) | ANY_TEXT.map(lambda rest: f"agent:ops:{rest}")
AGENTS = st.none() | st.sampled_from(["ops", "OPS", "lab-1", "", " ", "no id", "*", "\u212a"]) | ANY_TEXT
BINDINGS = st.dictionaries(KEYS, AGENTS.map(str), max_size=3)
ESCAPES = st.lists(st.sampled_from(["\x1b", "[", "]0;", "\x07", "\\", "m", "P", "\n", "\r", "\x9b", "1", " ", "text"])).map("".join)
LONG_OUTPUT = st.text("aä🎉 \n", min_size=150, max_size=900)
LIMITS = st.tuples(st.integers(0, 60), st.integers(2, 70_000))


@given(key=st.none() | KEYS, agent_id=AGENTS, bindings=BINDINGS, default_agent=AGENTS, main_key=KEYS)
@example(key="agent:ops:" + "Ⱥ" * 251, agent_id=None, bindings={}, default_agent=None, main_key="main")
@example(key="", agent_id="ops", bindings={}, default_agent=None, main_key=":x")
def test_any_key_yields_one_address_or_one_reason(
    key: str | None, agent_id: str | None, bindings: dict[str, str], default_agent: str | None, main_key: str
) -> None:
    asked: list[str] = []

    def known(agent: str) -> bool:
        asked.append(agent)
        return agent != "lab-1"

    try:
        resolved = resolve(key, agent_id, bindings, default_agent, known, lambda agent: agent != "global", main_key)
    except InvalidAddress as refusal:
        DeadReason(refusal.reason)  # ValueError for a word that no dead letter knows
        return
    address = Address(agent_id=resolved.agent_id, session_key=resolved.session_key)
    assert asked == [address.agent_id]
    again = resolve(address.session_key, address.agent_id, {}, None, known, lambda _: True, main_key)
    assert (again.agent_id, again.session_key) == (resolved.agent_id, resolved.session_key)
    assert again.via == "session-key"


@given(key=KEYS, bindings=st.dictionaries(KEYS, st.just("thief")), default_agent=st.just("thief"))
def test_nothing_that_begins_like_an_agent_key_goes_to_anybody_else(key: str, bindings: dict[str, str], default_agent: str) -> None:
    text = f"agent:{key}"
    try:
        resolved = resolve(text, None, {**bindings, text: "thief"}, default_agent, lambda _: True, lambda _: True)
    except InvalidAddress:
        return
    assert resolved.agent_id == text.strip().split(":")[1].lower()
    assert resolved.via == "session-key"


@given(KEYS)
def test_a_canonical_key_is_its_own_canonical_form(key: str) -> None:
    parsed = keys.parse(key)
    assert (keys.shape(key) is keys.Shape.AGENT) is (parsed is not None)
    assert keys.canonical(keys.canonical(key)) == keys.canonical(key)
    if parsed:
        assert keys.parse(parsed.key) == parsed
        assert keys.valid_agent_id(parsed.agent_id)
        assert derive_completion_id(key, "r", "s") == derive_completion_id(parsed.key, "r", "s")


@given(ANY_TEXT | ESCAPES)
def test_clean_text_has_no_control_characters_and_stays_as_it_is(text: str) -> None:
    cleaned = clean(text)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", cleaned)
    assert clean(cleaned) == cleaned


@given(output=ANY_TEXT | LONG_OUTPUT, exit_code=st.none() | st.integers(0, 255), run_id=st.none() | ANY_TEXT)
def test_the_text_is_one_bounded_line(output: str, exit_code: int | None, run_id: str | None) -> None:
    text = exec_text(ExecCompletion(completion_id="c" * 40, output=output, exit_code=exit_code, run_id=run_id))
    assert len(text.splitlines()) == 1
    assert len(text.encode("utf-16-le")) <= 2 * 330
    assert clean(text) == text


def test_a_lone_surrogate_anywhere_in_the_words_refuses_nothing() -> None:
    completion = ExecCompletion(
        completion_id="c", output="o\ud800", run_id="r\ud800", step_id="s\ud800", command="c\ud800", host="h\ud800", signal="S\ud800"
    )
    assert ExecCompletion.model_validate_json(completion.model_dump_json()) == completion
    assert clean(exec_text(completion)) == "Exec failed (c, signal S?, run r?) :: o?"


@given(now=st.integers(0, 2**45), interval=st.integers(1, 2**40), phase=st.integers(-(2**40), 2**40))
def test_the_next_tick_is_the_first_later_one_in_phase(now: int, interval: int, phase: int) -> None:
    due = schedule.next_due(now, interval, phase)
    assert now < due <= now + interval
    assert (due - phase) % interval == 0


@given(start=st.integers(0, 2**41), interval=st.integers(1_000, 2 * 86_400_000), opens=st.integers(0, 1439), minutes=st.integers(1, 1440))
def test_seeking_finds_what_walking_finds(start: int, interval: int, opens: int, minutes: int) -> None:
    def active(ms: int) -> bool:
        return (ms // 60_000 - opens) % 1440 < minutes

    walked = next((ms for ms in range(start, start + schedule.SEEK_HORIZON_MS + 1, interval) if active(ms)), start)
    assert schedule.seek_active(start, interval, active) == walked


def wakes() -> st.SearchStrategy[list[Wake]]:
    """Batches of wakes with ids of their own."""
    fields = st.fixed_dictionaries({
        "source": st.sampled_from(list(Source)), "intent": st.sampled_from(list(Intent)), "reason": ANY_TEXT, "text": ANY_TEXT,
        "exit_code": st.none() | st.integers(0, 3), "failed": st.booleans(), "signal": st.none() | ANY_TEXT,
    })  # fmt: skip
    return st.lists(fields, min_size=1, max_size=70).map(
        lambda rows: [Wake.model_validate({"wake_id": f"c{n}", "accepted_at_ms": n, **row}) for n, row in enumerate(rows)]
    )


@given(batch_wakes=wakes(), output=ANY_TEXT, repeat=st.integers(0, 3000), limits=LIMITS, data=st.data())
def test_every_wake_is_shown_or_counted_within_the_bounds(
    batch_wakes: list[Wake], output: str, repeat: int, limits: tuple[int, int], data: Any
) -> None:
    with_output = data.draw(st.sets(st.sampled_from([wake.wake_id for wake in batch_wakes])))
    address = Address(agent_id="ops", session_key="agent:ops:main")
    outputs = dict.fromkeys(with_output, output * repeat)
    batch = Batch(batch_id="b", address=address, attempt=1, failures=0, deliveries=1, wakes=tuple(batch_wakes), outputs=outputs)
    request = coalesce(batch, 1, max_events=limits[0], max_bytes=limits[1])
    ids = [wake.wake_id for wake in batch_wakes]
    shown = [event.completion_id for event in request.events]
    assert list(request.completion_ids) == ids
    assert shown == [wake_id for wake_id in ids if wake_id in set(shown)]
    assert len(shown) <= limits[0]
    assert len(",".join(event.model_dump_json() for event in request.events).encode()) + 2 <= limits[1]
    counted = int(request.digest.split()[0]) if request.digest else 0
    ticks = {w.wake_id for w in batch_wakes if (w.source, w.intent, w.text) == (Source.INTERVAL, Intent.SCHEDULED, "")}
    silent = {w.wake_id for w in batch_wakes if w.wake_id in ticks and not (w.failed or w.signal or w.exit_code or w.timed_out)}
    assert silent.isdisjoint(shown)
    assert len(shown) + counted == len(ids) - len(silent)
    outputs_cut = any(event.output != clean(outputs.get(event.completion_id, "")) for event in request.events)
    texts = {wake.wake_id: clean(wake.text) for wake in batch_wakes}
    assert request.truncated is (counted > 0 or outputs_cut or any(event.text != texts[event.completion_id] for event in request.events))
