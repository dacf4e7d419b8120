"""The text that an agent reads: nothing in an output passes for ours, and it is the same in each attempt."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.config.runners import OPENCLAW_MESSAGE
from dispatcher.core.models import Event, HeartbeatRequest
from tests.support.requests import request
from workers.runners.gateway_message import message

ROOM_BYTES = 100_000


def asked(*events: Event, digest: str | None = None) -> HeartbeatRequest:
    return request().model_copy(update={"events": events, "digest": digest})


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=200), st.text(max_size=200))
def test_each_line_of_a_command_stands_behind_a_mark(text: str, output: str) -> None:
    shown = message("BEGIN\n{events}\nEND", asked(Event(completion_id="c", text=text, output=output)), ROOM_BYTES)
    first, *between, last = shown.split("\n")
    assert (first, last) == ("BEGIN", "END")
    assert between[0].startswith("- ")
    assert all(line.startswith("  | ") for line in between[1:])


def test_an_output_fills_no_place_of_the_template() -> None:
    shown = message("{agent_id} {events}", asked(Event(completion_id="c", text="{session_key} {events}")), ROOM_BYTES)
    assert shown == "ops - {session_key} {events}"


def test_the_text_is_the_same_in_each_attempt() -> None:
    first = asked(Event(completion_id="c", text="done"))
    second = first.model_copy(update={"attempt": 2, "token": 99})
    assert message(OPENCLAW_MESSAGE, first, ROOM_BYTES) == message(OPENCLAW_MESSAGE, second, ROOM_BYTES)


def test_what_was_left_out_is_counted() -> None:
    shown = message("{events}", asked(Event(completion_id="c", text="done"), digest="37 more: 30 ok, 7 failed"), ROOM_BYTES)
    assert shown == "- done\n- and 37 more: 30 ok, 7 failed"


def test_a_long_output_keeps_its_end() -> None:
    shown = message("{events}", asked(Event(completion_id="c", text="done", output="begin " + "x" * 2_000 + " end")), 1_500)
    assert "begin" not in shown
    assert shown.endswith(" end")
