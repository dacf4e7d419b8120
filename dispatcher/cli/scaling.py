"""How many workers there should be: a signal for whatever starts and stops them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatcher.cli.options import duration_ms, known_pool
from dispatcher.cli.output import age, document, table
from dispatcher.cli.reach import AsJson, ConfigFile, Reach, reach

if TYPE_CHECKING:
    from dispatcher.core.scaling import Backlog

UNKNOWN_TURN_MS = 60_000
PoolName = Annotated[str | None, typer.Option("--pool", help="Only this pool.", show_default=False)]
Wait = Annotated[str, typer.Option("--wait", metavar="DURATION", help="Whoever could start now is to start within this time.")]
Turn = Annotated[str | None, typer.Option("--turn", metavar="DURATION", help="How long a heartbeat takes; default: as of late, else 1m.")]
Least = Annotated[int, typer.Option("--min", min=0, help="No fewer workers. With 0, nobody sees cadences and retries come due.")]
Most = Annotated[int, typer.Option("--max", min=1, help="No more workers.")]


def register(app: typer.Typer) -> None:
    app.command()(scale)


def scale(
    pool: PoolName = None,
    wait: Wait = "30s",
    turn: Turn = None,
    least: Least = 1,
    most: Most = 1_000,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell how many workers each pool should have, for KEDA, systemd or a script; starts and stops nothing.

    Counted are agents that could start now and do not run; who waits for a time, a retry or a resume does not count.

    \b
    Examples:
      wake scale --json
      wake scale --pool research --wait 10s --max 20
    """
    if least > most:
        raise typer.BadParameter(f"{least} is more than --max {most}", param_hint="--min")
    wait_ms, turn_ms = duration_ms("--wait", wait), duration_ms("--turn", turn, least_ms=1) if turn else 0
    reached = reach(config)
    names = [known_pool(reached, pool)] if pool else list(reached.config.pool_names())
    shown = _signal(reached, names, wait_ms, turn_ms, (least, most))
    if as_json:
        document(shown)
        return
    columns = ("pool", "eligible", "running", "oldest", "turn", "workers", "wanted")
    rows = [
        (p["pool"], p["eligible"], p["running"], age(p["oldest_age_s"]), f"{p['turn_s']:g} s", p["workers"], p["wanted_workers"])
        for p in shown["pools"]
    ]
    table(columns, rows)


def _signal(reached: Reach, pools: list[str], wait_ms: int, turn_ms: int, bounds: tuple[int, int]) -> dict[str, Any]:
    from dispatcher.names import serves
    from dispatcher.store.backlogs import Backlogs

    backlogs, now_ms = Backlogs(reached.store.client, reached.store.keys), reached.store.ledger.now_ms()
    served = [name for holder in reached.store.ledger.presences() for name in serves(holder)[1]]
    entries, oldest_ms = backlogs.inbox(now_ms)
    found = [_pool(reached, backlogs.of(name, now_ms), served.count(name), wait_ms, turn_ms, bounds) for name in pools]
    return {"pools": found, "inbox": {"entries": entries, "oldest_age_s": oldest_ms / 1000}}


def _pool(reached: Reach, backlog: Backlog, workers: int, wait_ms: int, turn_ms: int, bounds: tuple[int, int]) -> dict[str, Any]:
    from dispatcher.core.scaling import wanted_workers

    settings = reached.config.pool(backlog.pool)
    turn_ms = turn_ms or backlog.turn_ms or UNKNOWN_TURN_MS
    wanted = wanted_workers(backlog, settings.concurrency, wait_ms, turn_ms, settings.max_running)
    return {
        "pool": backlog.pool,
        "eligible": backlog.eligible,
        "running": backlog.running,
        "oldest_age_s": backlog.oldest_ms / 1000,
        "turn_s": turn_ms / 1000,
        "concurrency": settings.concurrency,
        "workers": workers,
        "wanted_workers": min(max(wanted, bounds[0]), bounds[1]),
    }
