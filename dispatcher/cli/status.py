"""Whether work would be done now, and who has some."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatcher.cli.output import age, ahead, complain, document, facts, say, table, when
from dispatcher.cli.reach import AsJson, ConfigFile, Reach, reach
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.exit_codes import UNREACHABLE
from dispatcher.core.explain import caused_per_heartbeat
from dispatcher.names import serves

if TYPE_CHECKING:
    from dispatcher.store.ledger import AgentStatus

Shown = dict[str, Any]


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(
    agent: Annotated[str | None, typer.Argument(metavar="AGENT", help="Only this agent, in detail.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell whether everything is ready, and who has work.

    Ready: the server answers, and there are a router and a worker of every pool that has work. Exit code 1 when it is not.
    With AGENT: what that agent does and waits for; exit code 1 when nobody knows it.

    \b
    Examples:
      wake status
      wake status ops --json
    """
    if agent is not None:
        _one_agent(reach(config), agent, as_json)
        return
    try:
        reached = reach(config)
        shown = _everything(reached)
    except StoreUnavailable as error:
        if not as_json:
            raise
        complain(str(error))
        document({"ready": False, "missing": ["server"], "error": str(error)})
        raise typer.Exit(UNREACHABLE) from None
    if as_json:
        document(shown)
    else:
        _print(shown, reached.store.ledger.now_ms())
    if not shown["ready"]:
        raise typer.Exit(1)


def _everything(reached: Reach) -> Shown:
    from dispatcher.config.server_url import ServerUrl

    ledger = reached.store.ledger
    now_ms = ledger.now_ms()
    routers, workers = _holders(ledger.presences())
    agents = _agents(reached, list(ledger.agents()), now_ms)
    served = {pool for worker in workers for pool in worker["pools"]}
    missing = [] if routers else ["router"]
    missing += [] if workers else ["worker"]
    missing += [f"worker of pool {pool}" for pool in sorted({agent["pool"] for agent in agents} - served)] if workers else []
    dead, alert_at = ledger.letters.count(), reached.config.bounds.alert_dead
    return {
        "ready": not missing,
        "missing": missing,
        "server": ServerUrl.parse(reached.store.url).shown(),
        "routers": routers,
        "workers": workers,
        "inbox": ledger.inbox_depth(),
        "dead_letters": dead,
        "dead_alert": bool(alert_at) and dead >= alert_at,
        "avoidable": [_avoidable(pool, counts) for pool, counts in sorted(reached.store.inspection.turns().items())],
        "agents": sorted(agents, key=lambda shown: str(shown["agent_id"])),
    }


def _avoidable(pool: str, counts: dict[str, int]) -> Shown:
    """Heartbeats of a pool that were settled or failed, and those of them that need not have been, by reason."""
    reasons = {name.partition(":")[2]: count for name, count in sorted(counts.items()) if name.startswith("avoidable:")}
    heartbeats, count = counts["heartbeats"], sum(reasons.values())
    share = round(count / heartbeats, 3) if heartbeats else None
    return {"pool": pool, "heartbeats": heartbeats, "avoidable": count, "share": share, "reasons": reasons}


def _holders(presences: Iterable[str]) -> tuple[list[str], list[Shown]]:
    """Routers, and workers with the pools that they serve."""
    roles = [(holder, *serves(holder)) for holder in presences]
    routers = [holder for holder, role, _ in roles if role == "router"]
    return routers, [{"holder": holder, "pools": list(pools)} for holder, role, pools in roles if role == "worker"]


def _agents(reached: Reach, found: list[AgentStatus], now_ms: int) -> list[Shown]:
    caused = reached.store.inspection.caused_by([agent.agent_id for agent in found])
    oldest = reached.store.gauges.oldest([(agent.pool, agent.agent_id) for agent in found])
    return [_agent(agent, now_ms, count, oldest.get(agent.agent_id)) for agent, count in zip(found, caused, strict=True)]


def _agent(found: AgentStatus, now_ms: int, caused: int, oldest_at_ms: int | None) -> Shown:
    from dispatcher.viewing import state_of

    state, reason, until_ms = state_of(found, now_ms)
    return {
        "agent_id": found.agent_id,
        "pool": found.pool,
        "state": state,
        "reason": reason,
        "until_ms": until_ms,
        "pending": found.pending,
        "parked": found.parked,
        "oldest_age_s": None if oldest_at_ms is None else round(max(0, now_ms - oldest_at_ms) / 1000, 3),
        "heartbeats": found.heartbeats,
        "caused_per_heartbeat": caused_per_heartbeat(caused, found.heartbeats),
    }


def _one_agent(reached: Reach, agent: str, as_json: bool) -> None:
    from dispatcher.core.session_key import valid_agent_id
    from dispatcher.homes import queue_of

    agent_id, config, ledger = agent.lower(), reached.config, reached.store.ledger
    found = ledger.agent(agent_id) if valid_agent_id(agent) else None
    if found is None and not config.knows(agent):
        complain(f"status agent={agent[:80]!r}: neither the configuration nor the store knows it")
        if as_json:
            document({"error": "unknown agent", "agent_id": agent})
        raise typer.Exit(1)
    pool = found.pool if found else config.pool_of(agent_id)
    shown: Shown = {"agent_id": agent_id, "pool": pool, "state": "idle", "reason": None, "until_ms": None, "pending": 0, "parked": 0}
    shown |= {"oldest_age_s": None, "heartbeats": 0, "caused_per_heartbeat": None}
    shown |= _agents(reached, [found], ledger.now_ms())[0] if found else {}
    deferrals = found.deferrals if found else {}
    shown |= {
        "known": config.knows(agent),
        "enabled": config.agent(agent_id).enabled,
        "queue": queue_of(config, agent_id, pool),
        "running": {"batch_id": found.running, "token": found.token, "holder": found.holder} if found and found.running else None,
        "deferrals": [{"intent": kind, "until_ms": until, "reason": reason} for kind, (until, reason) in sorted(deferrals.items())],
    }
    if as_json:
        document(shown)
        return
    _print_agent(shown, ledger.now_ms())


def _print_agent(shown: Shown, now_ms: int) -> None:
    flat = shown | (shown["running"] or {}) | {"until": ahead(shown["until_ms"], now_ms)}
    if flat["oldest_age_s"] is not None:
        flat["oldest"] = age(flat["oldest_age_s"])
    hidden = {"running", "deferrals", "until_ms", "oldest_age_s"}
    deferrals = [(f"deferral of {d['intent']}", f"{d['reason']}, until {when(d['until_ms'])}") for d in shown["deferrals"]]
    facts([*((name.replace("_", " "), value) for name, value in flat.items() if name not in hidden), *deferrals])


def _print(shown: Shown, now_ms: int) -> None:
    if shown["ready"]:
        say("ready", style="green")
    else:
        say(f"not ready: no {', no '.join(shown['missing'])}", style="red")
    pools = sorted({pool for worker in shown["workers"] for pool in worker["pools"]})
    workers = f"{len(shown['workers'])} ({', '.join(pools)})" if pools else 0
    dead = f"{shown['dead_letters']}: too many, see `wake dead list`" if shown["dead_alert"] else shown["dead_letters"]
    counts = [("inbox", shown["inbox"]), ("dead letters", dead)]
    turns = [(f"avoidable in {found['pool']}", _turns(found)) for found in shown["avoidable"] if found["avoidable"]]
    facts([("server", shown["server"]), ("routers", len(shown["routers"])), ("workers", workers), *counts, *turns])
    if shown["agents"]:
        columns = ("agent", "pool", "state", "until", "pending", "parked", "oldest")
        table(columns, [_cells(agent, now_ms) for agent in shown["agents"]])


def _turns(found: Shown) -> str:
    reasons = ", ".join(f"{word}: {count}" for word, count in found["reasons"].items())
    return f"{found['avoidable']} of {found['heartbeats']} heartbeats ({found['share']:.1%}): {reasons}"


def _cells(agent: Shown, now_ms: int) -> tuple[object, ...]:
    state = f"{agent['state']}: {agent['reason']}" if agent["reason"] else agent["state"]
    oldest = None if agent["oldest_age_s"] is None else age(agent["oldest_age_s"])
    until = ahead(agent["until_ms"], now_ms)
    return agent["agent_id"], agent["pool"], state, until, agent["pending"], agent["parked"], oldest
