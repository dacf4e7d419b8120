"""What can happen in a world: each act is a tuple of words, so that a story can be kept, shortened, told and played again.

An act that does not apply where it is played does nothing. The acts of each Lua step stand in `LEADS_TO`; `draw` picks steps from the table
of scripts itself, so that a new Lua file is either played or stands in `LEFT_OUT` with a reason.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from dispatcher.config import rules_of
from dispatcher.core.errors import InboxFull, NotRevived, StoreUnavailable, UnknownCompletion
from dispatcher.core.policy import next_tick
from dispatcher.core.snapshot import Hold
from dispatcher.store.cadences import TickChange
from dispatcher.store.cancels import Running
from dispatcher.store.scripts import Argument, scripts
from dispatcher.submit import completion_of, submission_of, wake_request_of
from tests.seeds.seats import OPERATORS, PARTIES, ROUTERS, WORKERS
from tests.seeds.stepping import GO, LOSE_CALL, LOSE_REPLY
from tests.seeds.witness import owner_of
from tests.seeds.world import AGENTS, FREE_KEY, OUTCOMES, POOLS, SERVES, World

Act = tuple[str | int, ...]
AT_ONCE = 4  # acts that share a number: what is submitted in them for one agent has one id

# Which acts, in the order of the parties' work, get a step called.
LEADS_TO: dict[str, tuple[str, ...]] = {
    "submit": ("submit",), "claim": ("route",), "acknowledge": ("route",), "reject": ("submit-free", "route"),
    "deposit": ("submit", "route"),
    "suppress": ("submit-quiet", "route"), "acquire": ("ring",), "begin": ("ring",), "resume": ("ring",), "renew": ("ring", "renew"),
    "defer": ("ring",), "settle": ("turn",), "park": ("turn",), "dissolve": ("turn",), "bury": ("turn",), "tick": ("cadence", "ring"),
    "cadence": ("cadence",), "hold": ("hold", "resume"), "cancel": ("ring", "cancel"),
    "inspect": ("inspect",), "admit": ("ring",), "place": ("renew",),
    "sweep": ("pass",), "watch": ("watch",), "reclaim": ("crash", "watch"), "trim": ("trim",), "move": ("move",),
    "revive": ("revive",), "drop": ("drop",), "handoff": ("die", "bind", "revive"), "reroute": ("die", "bind", "revive"),
    "take_dead": ("die", "bind", "revive"), "let_go": ("die", "bind", "revive"),
    "revive_inbox": ("revive",), "drop_inbox": ("drop",), "mend": ("mend",),
}  # fmt: skip
LEFT_OUT: dict[str, str] = {  # script -> why no act leads to it
    "lapse": "it forgets holds that bind nobody any more, and touches no agent",
    "disown": "it takes away what lies in a pool where its agent does not live, and no step leaves anything there",
}


def draw(random: Random, world: World, number: int) -> Act:
    """The next act: most often a party that is at work goes on; else something that leads to a step of the table."""
    turning = [name for name in WORKERS if world.seats[name].party.at == "turn"]
    if turning and random.random() < 0.3:
        return _contend(random, world, random.choice(turning))
    busy = [name for name in PARTIES if world.seats[name].party.at]
    if busy and random.random() < 0.65:
        return _go_on(random, world, random.choice(busy))
    if world.witness.rebindable and random.random() < 0.4:
        return _haggle(random, world)
    if random.random() < 0.08:
        return random.choice([("flush",), ("jump", random.choice([-90_000, -700, 1_800, 45_000])), ("gap", random.choice([1_500, 40_000])),
                              ("crash", random.choice(PARTIES)), ("lose-bell", random.randrange(4))])  # fmt: skip
    step = random.choice(sorted(scripts().keys() - LEFT_OUT))
    return MAKERS[random.choice(LEADS_TO[step])](random, number // AT_ONCE)


def _contend(random: Random, world: World, name: str) -> Act:
    """While a runner runs, it is cancelled, its agent is rung elsewhere, or its lease runs out."""
    turn = world.seats[name].turn
    if random.random() < 0.15:
        return ("cancel", name, random.randrange(2))
    others = [other for other in WORKERS if SERVES[other] == SERVES[name] and not world.seats[other].party.at]
    if not turn or not others or random.random() < 0.3:
        return ("pass", 35_000, random.randrange(2))
    return ("ring", random.choice(others), turn.lease.agent_id)


def _haggle(random: Random, world: World) -> Act:
    """An agent has a dead letter whose key may be bound to another one: it is, or somebody revives it."""
    if random.random() < 0.4:
        return ("bind", random.choice(["ops", "lab", "cron", ""]))
    return ("revive", random.choice(OPERATORS), random.choice(sorted(world.witness.rebindable)))


def _go_on(random: Random, world: World, name: str) -> Act:
    if world.seats[name].party.at == "turn":
        turn = world.seats[name].turn
        if turn and random.random() < 0.3 and any(not owner_of(one) for one in world.witness.told[turn.batch_id]):
            return ("turn", name, "final")
        return ("turn", name, random.choice(list(OUTCOMES))) if random.random() < 0.6 else _time(random, 0)
    if random.random() < 0.03:
        return ("crash", name)
    return ("step", name, random.choices([GO, LOSE_REPLY, LOSE_CALL], [90, 6, 4])[0])


def _time(random: Random, _: int) -> Act:
    return ("pass", random.choice([100, 600, 3_000, 7_000, 15_000, 35_000, 70_000]), random.randrange(2))


MAKERS: dict[str, Callable[[Random, int], Act]] = {
    "submit": lambda r, n: ("submit", r.choice(AGENTS), n, r.choice(["event", "event", "manual", "immediate", "side", "sub"])),
    "submit-quiet": lambda r, n: ("submit", r.choice(AGENTS), n, "quiet"),
    "submit-free": lambda _, n: ("submit", "free", n, "event"),
    "route": lambda r, _: ("route", r.choice(ROUTERS), r.choice([1, 2, 5])),
    "ring": lambda r, _: ("ring", r.choice(WORKERS), r.choice([*AGENTS, "next", "next", "next", "next"])),
    "turn": lambda r, _: ("turn", r.choice(WORKERS), r.choice(list(OUTCOMES))),
    "renew": lambda r, _: ("renew", r.choice(WORKERS)),
    "cadence": lambda r, _: ("cadence", r.randrange(4)),
    "hold": lambda r, _: ("hold", r.choice(AGENTS), r.choice(["paused", "draining"])),
    "resume": lambda r, _: ("resume", r.choice(AGENTS)),
    "cancel": lambda r, _: ("cancel", r.choice(WORKERS), r.randrange(2)),
    "inspect": lambda r, _: ("inspect", r.choice(AGENTS)),
    "pass": _time,
    "watch": lambda _, __: ("watch",),
    "crash": lambda r, _: ("crash", r.choice(WORKERS)),
    "trim": lambda _, __: ("trim",),
    "move": lambda r, _: ("move", r.choice(AGENTS), r.choice(POOLS)),
    "die": lambda r, n: ("die", r.choice(["ops", "lab"]), n),
    "revive": lambda r, _: ("revive", r.choice(OPERATORS), r.randrange(4)),
    "drop": lambda r, _: ("drop", r.choice(OPERATORS), r.randrange(4)),
    "bind": lambda r, _: ("bind", r.choice(["ops", "lab", "cron", ""])),
    "mend": lambda r, _: ("mend", r.choice(AGENTS), r.randrange(2)),
}  # fmt: skip


def play(world: World, act: Act) -> bool:
    """Does it, if it applies here; whether it did. Raises AssertionError when something is wrong already."""
    done = _PLAYS[str(act[0])](world, *act[1:])
    return done is not False


def _submit(world: World, owner: str, n: int, kind: str) -> bool:
    key = (
        FREE_KEY
        if owner == "free"
        else {"side": f"agent:{owner}:side", "sub": f"agent:{owner}:subagent:x"}.get(kind, f"agent:{owner}:main")
    )
    words = {"session_key": key}
    if kind in ("manual", "immediate"):
        submission = submission_of(wake_request_of(words | {"wake_id": f"{owner}-{n}", "intent": kind, "text": "look"}))
    else:
        submission = submission_of(completion_of(words | {"completion_id": f"{owner}-{n}", "exit_code": 0 if kind == "quiet" else 1}))
    answer = world.us.inbox.submit_each([submission])[0]
    return not isinstance(answer, InboxFull)


def _step(world: World, name: str, word: str) -> bool:
    party = world.seats[name].party
    if not party.at or party.at == "turn":
        return False
    claims = party.at == "claim"
    party.step(word)
    if claims:
        world.note_claims()
    return True


def _turn(world: World, name: str, outcome: str) -> bool:
    party = world.seats[name].party
    if party.at != "turn":
        return False
    party.step(outcome)
    return True


def _route(world: World, name: str, limit: int) -> bool:
    if world.seats[name].party.at:
        return False
    world.route(name, limit)
    return True


def _ring(world: World, name: str, agent: str) -> bool:
    if world.seats[name].party.at:
        return False
    if agent == "next":  # the next doorbell in the queue that this worker serves
        bell = next((bell for bell in world.bells.out if bell[1] == SERVES[name]), None)
        if bell is None:
            return False
        world.bells.out.remove(bell)
        agent = bell[0]
    world.ring(name, agent)
    return True


def _operate(world: World, name: str, which: int | str, what: str) -> bool:
    """`which`: a completion, or the how manyth letter."""
    known = sorted(letter.completion_id for letter in world.us.ledger.dead_letters())
    party = world.seats[name].party
    if party.at or not known or (isinstance(which, str) and which not in known):
        return False
    completion_id = which if isinstance(which, str) else known[which % len(known)]

    def work() -> None:
        try:
            getattr(world.letters[name], what)(completion_id)
        except (NotRevived, UnknownCompletion, StoreUnavailable):
            return

    party.start(work)
    return True


def _die(world: World, agent: str, n: int) -> bool:
    """As far as an agent comes with a completion whose key is bound to it and whose heartbeat must not be tried again."""
    idle = [name for name in (*ROUTERS, *WORKERS) if not world.seats[name].party.at]
    routers, workers = (
        [name for name in idle if name in ROUTERS],
        [name for name in idle if SERVES.get(name) == world.config.pool_of(agent)],
    )
    if not routers or not workers:
        return False
    _bind(world, agent)
    _submit(world, "free", n, "event")
    _route(world, routers[0], 5)
    while _step(world, routers[0], GO):
        pass
    world.pass_time(300, renewing=True)
    _ring(world, workers[0], agent)
    while _step(world, workers[0], GO) or _turn(world, workers[0], "final"):
        pass
    return True


def _cadence(world: World, clear: int) -> None:
    pool = (world.us.ledger.home_of("cron") or ("agents",))[0]
    for where in POOLS:
        pending = dict(world.us.cadences.pending(where)).get("cron")
        wanted = next_tick(rules_of(world.config, "cron"), world.now_ms, pending) if clear == 0 and where == pool else None
        if pending != wanted:
            world.us.cadences.change_all(where, [TickChange("cron", pending, wanted)])


def _hold(world: World, agent: str, what: str) -> None:
    hold = Hold(agent, what, "test", "test", world.now_ms, 0) if what else None
    pool = (world.us.ledger.home_of(agent) or (world.config.pool_of(agent),))[0]
    if world.us.holds.put(agent, pool, hold, "test"):
        world.bells.ring_all([(agent, pool)])


def _cancel(world: World, name: str, retry: int) -> bool:
    """What this worker runs is cancelled; it hears of it when it renews, if it still runs then."""
    turn = world.seats[name].turn
    if turn is None:
        return False
    running = Running(turn.lease.agent_id, turn.lease.pool, turn.batch_id, turn.lease.token, turn.lease.holder)
    return world.us.cancels.cancel(running, "test", "", retry=bool(retry)).status == "CANCELLING"


def _move(world: World, agent: str, to: str) -> bool:
    home = world.us.ledger.home_of(agent)
    if home is None:
        return False
    return world.us.mailbox.move(agent, home[0], to, world.config.pool_of(agent)) == "MOVED"


def _bind(world: World, agent: str) -> None:
    bindings = world.us.bindings
    if agent:
        bindings.bind(FREE_KEY, agent)
    else:
        bindings.unbind(FREE_KEY)


def _mend(world: World, agent: str, fix: int) -> bool:
    """An agent that was never damaged is sound."""
    home = world.us.ledger.home_of(agent)
    if home is None:
        return False
    words: dict[str, Argument] = {"now": world.now_ms, "agent": agent, "pool": home[0], "fix": fix, "ledger_max": 100}
    reply = world.us.caller.call("mend", world.us.keys.agent(home[0], agent), **words)
    assert reply.status == "SOUND", f"mend of {agent}: {reply}"
    return True


def _pass(world: World, ms: int, renewing: int) -> None:
    world.pass_time(ms, renewing=bool(renewing))


def _gap(world: World, ms: int) -> None:
    world.mono_ms += ms


def _jump(world: World, ms: int) -> None:
    world.skew_ms += ms


def _lose_bell(world: World, nth: int) -> bool:
    return bool(world.bells.out) and bool(world.bells.out.pop(nth % len(world.bells.out)))


_PLAYS: dict[str, Callable[..., object]] = {
    "submit": _submit, "route": _route, "ring": _ring, "step": _step, "turn": _turn, "renew": World.renew, "cadence": _cadence,
    "hold": _hold, "cancel": _cancel, "resume": lambda w, a: _hold(w, a, ""),
    "inspect": lambda w, a: w.us.inspection.inspect(a, "agents"), "pass": _pass,
    "gap": _gap, "jump": _jump, "watch": World.watch, "crash": World.crash, "trim": World.trim, "move": _move,
    "revive": lambda w, o, n: _operate(w, o, n, "revive"), "drop": lambda w, o, n: _operate(w, o, n, "drop"), "bind": _bind, "mend": _mend,
    "die": _die,
    "flush": lambda w: w.client.script_flush(), "lose-bell": _lose_bell,
}  # fmt: skip
