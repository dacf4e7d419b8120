"""Seeded interleavings on the real Lua; each must hold at every step and balance in the end. And a broken rule must be found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.resources import files

import pytest

from dispatcher.store import scripts as table
from dispatcher.store.scripts import Script, scripts
from tests.seeds import acts, story
from tests.seeds.acts import LEADS_TO, LEFT_OUT, Act
from tests.seeds.seats import System
from tests.seeds.story import Told, in_words, replay, run_seed, shortest
from tests.support.server import Server

A_HANDFUL = range(5)
CHUNK, CHUNKS = 125, 16  # 2 000 seeds, in parts that several processes can share
PLAYED_WITHIN = 400  # seeds in which each step is called at least once


@pytest.fixture(scope="module")
def system(server: Server) -> Iterator[System]:
    server.start()
    system = System(server.url)
    yield system
    system.close()


@pytest.fixture
def apart(server: Server) -> Iterator[System]:
    """Connections of its own: they remember the scripts that they called."""
    server.start()
    system = System(server.url)
    yield system
    system.close()


def holds(system: System, seed: int) -> Told:
    told = run_seed(system, seed)
    if told.wrong:
        less = shortest(system, told.acts)
        pytest.fail(in_words(seed, less, replay(system, less) or told.wrong), pytrace=False)
    return told


@pytest.mark.parametrize("seed", A_HANDFUL)
def test_a_seed_holds(system: System, seed: int) -> None:
    holds(system, seed)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_two_thousand_seeds_hold(system: System, chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        holds(system, seed)


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_each_step_of_the_table_is_called(system: System) -> None:
    called: Counter[str] = Counter()
    for seed in range(PLAYED_WITHIN):
        called.update(word.split()[0] for word in run_seed(system, seed).words.elements())
    assert scripts().keys() - called.keys() - LEFT_OUT.keys() == set()


def test_each_step_has_an_act_or_a_reason_why_not() -> None:
    """A new Lua file is played here, or it says why it is not."""
    assert LEADS_TO.keys() | LEFT_OUT.keys() == scripts().keys()
    assert not LEADS_TO.keys() & LEFT_OUT.keys()
    assert {act for some in LEADS_TO.values() for act in some} <= acts.MAKERS.keys()


def test_the_same_seed_tells_the_same_story(system: System) -> None:
    first, second = run_seed(system, 3), run_seed(system, 3)
    assert (first.acts, first.words) == (second.acts, second.words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("settle", "if not lease then return { 'STALE_TOKEN', current.token } end", "lease = lease or current"),
        ("settle", "derive(K, A.agent, now, lease), lease, true)", "nil, lease, true)"),
        ("deposit", "if tonumber(A.revival) <= tonumber(revival) then", "if false then"),
        ("begin", "many('ZREM', K.mailbox, taken[intent])", ""),
        ("acquire", "if not again and held_until(K, lease, now) > now then", "if false then"),
    ],
    ids=["a late holder settles", "what came meanwhile is forgotten", "the marker is ignored", "a frozen wake waits as well",
         "a live lease is taken"],
)  # fmt: skip
def test_a_broken_rule_is_found(apart: System, monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str) -> None:
    """And its story is short, and fails again when it is played again. An interrupted revival is rarer: see below."""
    monkeypatch.setitem(scripts(), name, broken(name, old, new))
    failed = next(told for told in (run_seed(apart, seed) for seed in range(400)) if told.wrong)
    monkeypatch.setattr(story, "MAX_REPLAYS", 60)
    less = shortest(apart, failed.acts)
    assert len(less) < len(failed.acts)
    assert replay(apart, less)


def test_a_story_fails_where_its_rule_is_broken(apart: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that a seed told: a cadence is taken away under the lease of an agent that only ticks."""
    told: list[Act] = [("cadence", 0), ("pass", 70_000, 0), ("ring", "w1", "next"), ("step", "w1", "go"), ("cadence", 2)]
    assert replay(apart, told) == ""
    held = "lease.holder == '' and redis.call('HEXISTS', K.ticks, A.agent)"
    monkeypatch.setitem(scripts(), "acquire", broken("acquire", held, held.partition(" and ")[2]))
    assert "not at rest" in (wrong := replay(apart, told))
    assert in_words(7, told, wrong).splitlines()[1:3] == ["The shortest story:", "  1. cadence 0"]


def test_a_letter_that_is_handed_over_is_not_revived_for_a_second_agent(apart: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two revive it, each with another owner of its key in mind; the answer of the first one's deposit is lost."""
    told: list[Act] = [("die", "ops", 1), ("bind", "lab"), ("revive", "o1", "free-1"), ("bind", "cron"), ("revive", "o2", "free-1")]
    told += [("step", "o1", "go"), ("step", "o1", "lose-reply"), *[("step", "o2", "go")] * 5]
    assert replay(apart, told) == ""
    monkeypatch.setitem(scripts(), "handoff", broken("handoff", "if handed_to(K, A.id, letter) then", "if false then"))
    assert "do not balance" in replay(apart, told)


def broken(name: str, old: str, new: str) -> Script:
    """A step with one rule changed, as it would be read from a changed file."""
    folder = files(table.__name__.rpartition(".")[0]) / "lua"
    source = (folder / f"{name}.lua").read_text("utf-8")
    assert source.count(old) == 1, f"{name}: the rule moved"
    include = {part.name[:-4]: part.read_text("utf-8") for part in (folder / "include").iterdir()}
    return Script(name, source.replace(old, new), include)
