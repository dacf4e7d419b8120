"""A wake that somebody asks for: what it may say, what becomes of its words, and that it is never taken for a completion."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from dispatcher.core.identity import payload_digest
from dispatcher.core.models import ExecCompletion, Intent, Source
from dispatcher.core.reported import body_of, lane_of, output_of, quiet_reason, read_body, wake_of, without_token
from dispatcher.core.wake_request import WakeRequest

TOKEN = "a-secret-that-is-nowhere"


def request(**words: Any) -> WakeRequest:
    return WakeRequest.model_validate({"wake_id": "w1", "session_key": "agent:ops:main"} | words)


def test_what_it_is_without_a_word() -> None:
    asked = request()
    assert (asked.source, asked.intent, asked.completion_id) == (Source.MANUAL, Intent.MANUAL, "w1")
    wake = wake_of(asked, via="session-key", accepted_at_ms=5)
    assert (wake.wake_id, wake.intent, wake.reason, wake.text) == ("w1", Intent.MANUAL, "manual", "Wake requested (manual)")
    assert output_of(asked, 1000) == ""


@pytest.mark.parametrize("intent", ["scheduled", "soon", 3])
def test_an_intent_that_nobody_may_ask_for_is_refused(intent: object) -> None:
    with pytest.raises(ValidationError, match="intent"):
        request(intent=intent)


def test_its_words_are_cleaned_and_a_long_text_lies_beside_its_line() -> None:
    asked = request(text="\x1b[31mred\x07 " + "x" * 2000 + "\nend", reason="why\x00", intent="event", source="hook")
    wake = wake_of(asked, via="binding", accepted_at_ms=5)
    assert wake.text == "red " + "x" * 395 + "…"
    assert wake.reason == "why"
    assert output_of(asked, 10_000) == "red " + "x" * 2000 + "\nend"
    assert output_of(asked, 3) == "end"
    assert quiet_reason(asked, "never") is None


@pytest.mark.parametrize(
    ("words", "session", "lane"),
    [
        ({}, "agent:ops:main", "manual"),
        ({"intent": "task"}, "agent:ops:subagent:a", "task"),
        ({"intent": "event", "source": "hook"}, "agent:ops:subagent:a", "event"),
        ({"intent": "event", "source": "exec-event"}, "agent:ops:subagent:a", "rider"),
        ({"intent": "immediate", "source": "exec-event"}, "agent:ops:subagent:a", "immediate"),
    ],
)
def test_only_the_end_of_a_subagents_exec_rides(words: dict[str, str], session: str, lane: str) -> None:
    assert lane_of(wake_of(request(**words), via="session-key", accepted_at_ms=1), session, wake_subagents=False, max_depth=8) == lane


def test_an_inbox_entry_is_read_back_as_what_it_was() -> None:
    asked = request(intent="event", text="look", later_field=[1])
    done = ExecCompletion(completion_id="c1", exit_code=1)
    assert json.loads(body_of(asked))["kind"] == "wake"
    assert "kind" not in json.loads(body_of(done))
    assert read_body(body_of(asked)) == asked
    assert read_body(body_of(done)) == done


@pytest.mark.parametrize(
    "body", ['{"kind": "other", "completion_id": "c"}', r'{"\u006bind": "wake", "completion_id": "c"}', "[1]", '"kind"']
)
def test_a_kind_that_is_unknown_is_no_completion(body: str) -> None:
    with pytest.raises(ValidationError):
        read_body(body)


def test_a_completion_cannot_say_that_it_is_a_wake() -> None:
    with pytest.raises(ValidationError, match="kind"):
        ExecCompletion.model_validate({"completion_id": "c", "kind": "wake"})


def test_the_token_travels_in_the_entry_and_nowhere_else() -> None:
    for reported in (request(token=TOKEN, text="look"), ExecCompletion(completion_id="c1", token=TOKEN)):
        assert TOKEN in body_of(reported)
        assert read_body(body_of(reported)).token == TOKEN
        assert TOKEN not in without_token(body_of(reported))
        assert TOKEN not in repr(reported) + reported.model_dump_json() + str(reported.model_dump())
        assert TOKEN not in wake_of(reported, via="session-key", accepted_at_ms=1).model_dump_json() + output_of(reported, 1000)
        assert payload_digest(reported) == payload_digest(reported.model_copy(update={"token": None}))
    assert without_token("no json") == "no json"
    assert without_token(r'{"\u0074oken": "' + TOKEN + '"}') == "{}"


def test_a_token_of_the_wrong_form_is_not_repeated() -> None:
    with pytest.raises(ValidationError) as caught:
        ExecCompletion.model_validate({"completion_id": "c", "token": [TOKEN]})
    assert "token" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_wake_and_a_completion_never_have_one_digest() -> None:
    assert payload_digest(request()) != payload_digest(ExecCompletion(completion_id="w1", session_key="agent:ops:main"))
    assert payload_digest(request(text="a")) != payload_digest(request(text="b"))
    assert payload_digest(request(trace={"traceparent": "x"})) == payload_digest(request())
