"""One seed: a story of acts, checked after each, then driven to rest; and the shortest story that still fails."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from dispatcher.core.rules import RIDER_AGE_MS
from dispatcher.store.doctoring import Doctor
from tests.seeds.acts import Act, draw, play
from tests.seeds.seats import PARTIES, ROUTERS, WORKERS, System
from tests.seeds.stepping import GO
from tests.seeds.world import AGENTS, POOLS, World

ACTS = 90
ROUNDS = 120  # of driving to rest; a handful is enough for what a story leaves behind
MAX_REPLAYS = 400


@dataclass
class Told:
    """How a story went: the acts that applied, what was wrong in the end (empty if nothing), and the steps that were called."""

    acts: list[Act]
    wrong: str = ""
    words: Counter[str] = field(default_factory=Counter)


def run_seed(system: System, seed: int) -> Told:
    """Draws acts and plays them."""
    random, told = Random(seed), Told([])
    world = World(system)
    try:
        for number in range(ACTS):
            act = draw(random, world, number)
            told.acts.append(act)
            if not play(world, act):
                told.acts.pop()
                continue
            world.witness.look(world.client)
        _rest(world)
    except Exception as error:  # noqa: BLE001  # whatever it is, it ends this story
        told.wrong = f"{type(error).__name__}: {error}"
    finally:
        told.words = world.witness.words
        world.close()
    return told


def replay(system: System, acts: list[Act]) -> str:
    """What is wrong when these acts are played; empty if nothing is."""
    world = World(system)
    try:
        for act in acts:
            if play(world, act):
                world.witness.look(world.client)
        _rest(world)
    except Exception as error:  # noqa: BLE001  # as in run_seed
        return f"{type(error).__name__}: {error}"
    finally:
        world.close()
    return ""


def shortest(system: System, acts: list[Act]) -> list[Act]:
    """The same story without what it does not need to fail."""
    size, replays = max(1, len(acts) // 2), 0
    while replays < MAX_REPLAYS:
        shrunk = False
        for start in range(len(acts) - size, -1, -size):
            less = acts[:start] + acts[start + size :]
            replays += 1
            if replay(system, less):
                acts, shrunk = less, True
        if size == 1 and not shrunk:
            break
        size = max(1, size // 2)
    return acts


def in_words(seed: int, acts: list[Act], wrong: str) -> str:
    """A failing story for a reader."""
    lines = [f"seed {seed} fails: {wrong}", "The shortest story:"]
    return "\n".join(
        [*lines, *(f"{n:3}. {' '.join(map(str, act))}" for n, act in enumerate(acts, 1)), "   then everything is driven to rest."]
    )


def _rest(world: World) -> None:
    """Nobody dies any more, every hold is taken away, and time goes on until nothing waits."""
    for act in [("bind", "ops"), *(("resume", agent) for agent in AGENTS)]:
        play(world, act)
    waiting: list[str] = []
    for n in range(ROUNDS):
        play(world, ("gap", 2 * RIDER_AGE_MS) if n % 8 == 7 else ("pass", 31_000 if n == 0 else 4_000, 0))
        _round(world)
        waiting = _waiting(world)
        if not waiting:
            break
    else:
        raise AssertionError(f"not at rest after {ROUNDS} rounds: {waiting}")
    ends = world.witness.fates.keys() | {letter.completion_id for letter in world.us.ledger.dead_letters()}
    assert ends == world.witness.accepted, f"without an end: {world.witness.accepted ^ ends}"
    assert world.us.ledger.balance().balance == 0
    found = [one.what for one in Doctor(world.us, fix=True).findings(lambda reading: reading())]
    wrong = [what for what in found if "is kept for a letter" not in what]  # what a reviver leaves that dies before its last step
    assert not wrong, f"the doctor finds {wrong}"


def _round(world: World) -> None:
    play(world, ("watch",))
    for name in ROUTERS:
        play(world, ("route", name, 5))
    for name in WORKERS:
        play(world, ("ring", name, "next"))
    letters = list(world.us.ledger.dead_letters())
    if half := [letter.completion_id for letter in letters if letter.handoff_to]:
        play(world, ("revive", "o1", half[0]))  # it was interrupted; to repeat it completes it
    elif len(letters) >= world.us.limits.max_dead:
        play(world, ("drop", "o1", letters[0].completion_id))
    for name in PARTIES:
        while play(world, ("step", name, GO)) or play(world, ("turn", name, "ran")):
            pass


def _waiting(world: World) -> list[str]:
    """Who has work, and what lies in the inbox."""
    picture, keys = world.witness.look(world.client), world.us.keys
    due = [agent for slot in range(keys.slots) for pool in POOLS for agent in picture.zrange(keys.pool(slot, pool)["due"], 0, -1)]
    return due + [fields["id"] for _, fields in picture.xrange(keys.inbox["stream"])]
