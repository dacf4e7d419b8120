"""The parts of the command runner that start nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from dispatcher.config.runners import Runner as RunnerSettings
from tests.support.requests import request
from workers.runners import build_runner
from workers.runners.command import CommandRunner, environment
from workers.runners.gated import why_not_startable
from workers.runners.pump import Tail
from workers.runners.python import PythonRunner


@pytest.mark.parametrize(
    ("chunks", "limit_bytes", "text"),
    [
        ([b"abc"], 3, "abc"),
        ([b"ab", b"cd"], 3, "…bcd"),
        (["aü".encode()], 1, "…\ufffd"),
        (["üb".encode()], 2, "…b"),
        ([b"a\xffb"], 9, "a\ufffdb"),
        ([b"abc"], 0, "…"),
        ([], 3, ""),
    ],
)
def test_the_tail_keeps_the_last_bytes_and_whole_characters(chunks: list[bytes], limit_bytes: int, text: str) -> None:
    tail = Tail(limit_bytes)
    for chunk in chunks:
        tail.add(chunk)
    assert tail.text() == text


def test_a_trace_that_is_no_trace_context_does_not_reach_its_variables() -> None:
    """TRACEPARENT is read by libraries that trust its form; WAKE_TRACE carries whatever was sent, as JSON."""
    odd = {"traceparent": "00-\0", "tracestate": "a=b"}
    env = environment(request(trace=odd), {})
    assert json.loads(env[b"WAKE_TRACE"]) == odd
    assert b"\0" not in env[b"WAKE_TRACE"]
    assert not {b"TRACEPARENT", b"TRACESTATE"} & set(env)


def test_a_trace_too_long_for_an_environment_is_left_out() -> None:
    """Otherwise no command could start with it, in any attempt."""
    assert b"WAKE_TRACE" not in environment(request(trace={"k": "v" * 100_000}), {})


def test_the_trace_state_needs_a_trace_parent() -> None:
    parent = f"00-{'0' * 31}1-{'0' * 15}1-01"
    env = environment(request(trace={"traceparent": parent, "tracestate": "a=b"}), {})
    assert (env[b"TRACEPARENT"], env[b"TRACESTATE"]) == (parent.encode(), b"a=b")
    assert b"TRACESTATE" not in environment(request(trace={"tracestate": "a=b"}), {})


def test_what_can_start_is_not_complained_about(tmp_path: Path) -> None:
    program = tmp_path / "run"
    program.touch(0o755)
    assert why_not_startable(["./run"], str(tmp_path), {}) is None
    assert why_not_startable(["run"], None, {b"PATH": bytes(tmp_path)}) is None
    assert why_not_startable(["run"], None, {b"PATH": b"/absent"}) == "'run' is not on PATH"
    assert why_not_startable([], None, {}) == "the command is empty"


def test_a_runner_is_built_from_what_the_configuration_says() -> None:
    read = TypeAdapter[RunnerSettings](RunnerSettings).validate_python
    command = build_runner(read({"type": "command", "command": ["./beat", "-v"], "cwd": "/x", "env": {"A": "b"}}), output_bytes=10)
    assert isinstance(command, CommandRunner)
    assert (command.command, command.cwd, command.env, command.output_bytes) == (("./beat", "-v"), "/x", {"A": "b"}, 10)
    assert build_runner(read({"type": "python", "target": "agents.ops:beat"})) == PythonRunner("agents.ops:beat")
