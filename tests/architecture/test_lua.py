"""Each Lua step is one short file with its contract on top, and each word that it can answer is proved by a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.sources import LUA, name, python_files, steps

MAX_LINES = 80
READS = {
    *("EXISTS", "GET", "HEXISTS", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "HSCAN", "LLEN", "LRANGE", "PTTL", "PUBSUB", "SCARD"),
    *("SISMEMBER", "SMEMBERS", "STRLEN", "TIME", "TTL", "XINFO", "XLEN", "XPENDING", "XRANGE", "XREVRANGE", "ZCARD", "ZCOUNT"),
    *("ZLEXCOUNT", "ZRANGE", "ZRANGEBYLEX", "ZRANGEBYSCORE", "ZRANK", "ZREVRANGE", "ZSCORE", "INFO", "MGET"),
}
ABOVE_THE_LINE = {
    ("acquire", "HDEL"): "any attempt clears the announcement, whatever its answer: otherwise an agent is never rung again",
    ("deposit", "HINCRBY"): "an accepted duplicate wakes nobody, but the audit accounts for it",
    ("suppress", "HINCRBY"): "the same",
}
each_step = pytest.mark.parametrize("path", steps(), ids=lambda path: path.stem)


def header(path: Path) -> dict[str, str]:
    """The comment block on top: `KEYS`, `ARGV`, `REPLY`, each with its continuation lines."""
    found: dict[str, str] = {}
    word = ""
    for line in path.read_text("utf-8").splitlines()[2:]:
        if not line.startswith("--"):
            break
        if match := re.match(r"-- (KEYS|ARGV|REPLY)\s+(.*)", line):
            word = match[1]
            found[word] = match[2]
        elif word and line.startswith("--  "):
            found[word] += " " + line[2:].strip()
        else:
            word = ""
    return found


def test_there_are_steps() -> None:
    assert len(steps()) > 10


@each_step
def test_the_contract_stands_on_top(path: Path) -> None:
    first, second, *_ = path.read_text("utf-8").splitlines()
    assert re.fullmatch(r"#!lua( flags=[a-z,-]+)?", first), f"{name(path)} starts with {first!r}"
    assert second.startswith(f"-- {path.stem}: "), f"{name(path)}: the second line is not '-- {path.stem}: what it does'"
    assert re.search(r"O\(.+\)", second), f"{name(path)}: the second line does not say what it costs"
    assert set(header(path)) == {"KEYS", "ARGV", "REPLY"}, f"{name(path)} declares {sorted(header(path))}"


@each_step
def test_only_a_submit_may_be_refused_for_want_of_memory(path: Path) -> None:
    """Under `noeviction` a full server refuses writing scripts; work that is already accepted must still be settled."""
    first = path.read_text("utf-8").splitlines()[0]
    free = "allow-oom" in first or "no-writes" in first
    assert free == (path.stem != "submit"), f"{name(path)}: {first}"


@each_step
def test_a_step_is_short(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines < MAX_LINES, f"{name(path)} has {lines} lines"


@each_step
def test_guards_come_before_writes(path: Path) -> None:
    """A script is isolated, not rolled back: a refusal below a write would leave half a change."""
    guards, line, _ = path.read_text("utf-8").partition("\n-- writes")
    if "no-writes" in guards.splitlines()[0]:
        return
    assert line, f"{name(path)} has no line '-- writes'"
    writes = set(re.findall(r"redis\.call\(\s*'([A-Za-z]+)'", guards)) - READS
    writes -= {command for step, command in ABOVE_THE_LINE if step == path.stem}
    assert not writes, f"{name(path)} writes above its line: {sorted(writes)}"


@each_step
def test_no_key_is_built_in_lua(path: Path) -> None:
    """All keys come in KEYS, so that a server user's key patterns and the cluster's slots hold."""
    text = path.read_text("utf-8")
    assert not re.search(r"redis\.call\(\s*'[A-Za-z]+'\s*,\s*(\"|'|K\.\w+\s*\.\.)", _without_subcommands(text)), name(path)


def _without_subcommands(text: str) -> str:
    return re.sub(r"redis\.call\(\s*'(PUBSUB|XINFO|XGROUP|XREADGROUP|INFO|OBJECT)'[^)]*\)", "", text)


@each_step
def test_the_data_model_names_every_step(path: Path) -> None:
    assert re.search(rf"`{path.stem}(\.lua)?`", (LUA / "README.md").read_text("utf-8")), f"{path.stem} is not in lua/README.md"


@each_step
def test_the_data_model_names_every_key_of_a_step(path: Path) -> None:
    readme = (LUA / "README.md").read_text("utf-8")
    keys = re.findall(r"(?<![@\w])[a-z_]+", header(path)["KEYS"])
    unknown = [key for key in keys if not re.search(rf"\b{key}\b", readme)]
    assert not unknown, f"{name(path)}: not in lua/README.md: {unknown}"


@each_step
def test_every_status_word_is_proved_by_a_test(path: Path) -> None:
    tests = "\n".join(p.read_text("utf-8") for p in python_files("tests") if path.stem and p != Path(__file__))
    words = re.findall(r"\{\s*\"([A-Z_]+)\"", header(path)["REPLY"])
    assert words, f"{name(path)} declares no status word"
    unproved = [word for word in words if not re.search(rf"\b{word}\b", tests)]
    assert not unproved, f"{name(path)}: no test mentions {unproved}"
