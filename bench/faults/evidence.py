"""What the turns noted, what the store says, and what follows: nothing here is taken from what the dispatcher believes of itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

from bench.faults.turn import born, noted
from dispatcher.cli.demo_verdict import Evidence, Heard, Planned, Verdict, judge
from dispatcher.store.opened import Store


@dataclass(frozen=True)
class Turn:
    """One heartbeat's command. `ended` is None for one that was killed, or runs. Times are monotonic."""

    agent: str
    request_agent: str
    session_key: str
    batch_id: str
    attempt: int
    token: int
    completion_ids: tuple[str, ...]
    pid: int
    born: str
    parent: int
    started: float
    ended: float | None
    beside: tuple[int, ...]

    @property
    def lives(self) -> bool:
        return self.ended is None and born(self.pid) == self.born


def read_turns(folder: Path, agents: Iterable[str]) -> list[Turn]:
    """Every turn, by start."""
    return sorted((turn for agent in agents for turn in _of(folder / f"{agent}.jsonl", agent)), key=lambda turn: turn.started)


def _of(path: Path, agent: str) -> list[Turn]:
    turns: dict[str, Turn] = {}
    for said in noted(path):
        if said["word"] == "end":
            turns[said["turn"]] = replace(turns[said["turn"]], ended=said["at"])
            continue
        turns[said["turn"]] = Turn(
            agent,
            said["agent_id"],
            said["session_key"],
            said["batch_id"],
            said["attempt"],
            said["token"],
            tuple(said["completion_ids"]),
            said["pid"],
            said["born"],
            said["parent"],
            said["at"],
            None,
            tuple(said["beside"]),
        )
    return list(turns.values())


def overlaps(turns: Sequence[Turn]) -> int:
    """Turns that began before an earlier one of their agent had ended, or with a token that is not newer."""
    of: dict[str, list[Turn]] = defaultdict(list)
    for turn in turns:
        of[turn.agent].append(turn)
    pairs = [pair for own in of.values() for pair in pairwise(own)]
    return sum((a.ended is not None and a.ended > b.started) or a.token >= b.token for a, b in pairs)


def take_overs(turns: Sequence[Turn], deaths: Mapping[int, float]) -> list[float]:
    """Seconds from the death of a process to the next start of each batch whose command it took along."""
    waits = []
    for turn in turns:
        died = deaths.get(turn.parent)
        if died is None or turn.ended is not None or turn.started > died:
            continue
        again = [later.started for later in turns if later.batch_id == turn.batch_id and later.started > died]
        waits += [min(again) - died] if again else []
    return waits


def fates(store: Store, pools: Mapping[str, str]) -> dict[str, str]:
    """completion id → stage, of all agents (agent → pool)."""
    found = {}
    for agent, pool in pools.items():
        for completion_id, raw in store.client.hgetall(store.keys.agent(pool, agent)["fates"]).items():
            found[completion_id] = raw.partition("|")[0]
    return found


def settled_in(store: Store, pools: Mapping[str, str]) -> dict[str, str]:
    """completion id → the batch that settled it."""
    found = {}
    for agent, pool in pools.items():
        for completion_id, raw in store.client.hgetall(store.keys.agent(pool, agent)["fates"]).items():
            stage, _, _, _, detail = raw.split("|", 4)
            if stage == "settled":
                found[completion_id] = detail.partition("|")[0]
    return found


def verdict(store: Store, pools: Mapping[str, str], planned: Sequence[str], turns: Sequence[Turn], trouble: Sequence[str]) -> Verdict:
    """Over everything since the start. `repeated` are ids in more than one batch; a batch may have several attempts."""
    books = store.ledger.balance()
    dead = {letter.completion_id: letter.reason for letter in store.ledger.dead_letters()}
    heard = [Heard(t.agent, t.request_agent, t.session_key, t.batch_id, t.attempt, t.completion_ids) for t in turns]
    plan = [Planned(i, f"agent:{i.partition('.')[0]}:main", i.partition(".")[0]) for i in planned]
    problems = [*trouble]
    if alive := [turn.pid for turn in turns if turn.lives]:
        problems.append(f"commands that still run: {alive[:5]}")
    if beside := [turn.batch_id for turn in turns if turn.beside]:
        problems.append(f"an older command of the agent lived when these began: {beside[:5]}")
    told: dict[str, set[str]] = defaultdict(set)
    for turn in turns:
        told[turn.batch_id] |= set(turn.completion_ids)
    stray = [i for i, batch in settled_in(store, pools).items() if i not in told[batch]]
    if stray:
        problems.append(f"settled by a batch that was never told of them: {stray[:5]}")
    counts = asdict(books) | {"balance": books.balance}
    return judge(Evidence(plan, heard, fates(store, pools), dead, counts, overlaps(turns), problems), sorted(pools))
