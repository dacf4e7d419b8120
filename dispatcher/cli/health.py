"""Probes for a container or a service manager: does what should run here live, and can it do its work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dispatcher.cli.output import complain, document, say
from dispatcher.cli.reach import AsJson, ConfigFile, configuration
from dispatcher.core.errors import LayoutMismatch, StoreUnavailable
from dispatcher.core.exit_codes import UNREACHABLE

if TYPE_CHECKING:
    from dispatcher.config import Config
    from dispatcher.names import Holder

HANGS_S = 30.0  # a round waits for the server twice or thrice at most, 5 s each, and is then over, answer or not
Role = Literal["router", "worker"]


def register(app: typer.Typer) -> None:
    app.command()(health)


def health(
    live: Annotated[bool, typer.Option("--live", help="Do the processes here live? Asks no server.")] = False,
    ready: Annotated[bool, typer.Option("--ready", help="Can work be done? (default)")] = False,
    role: Annotated[Role | None, typer.Option(help="What should run on this host.", show_default=False)] = None,
    pool: Annotated[str | None, typer.Option(help="The pool that its worker should serve.", show_default=False)] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Probe for a container or a service manager. Cheap enough for every few seconds.

    --live: processes of that role run on this host and none of them hangs (no round for 30 s). A server that is away is no reason
    to start them again, so it is not asked.
    --ready: the server answers, its store is laid out as configured, and processes of that role on this host are connected to it.
    Without --role and --pool only server and store are looked at: enough for a host that only reports completions.
    Exit codes: 0 healthy, 1 not, 75 the server cannot be reached.

    \b
    Examples:
      wake health
      wake health --live --role router
      wake health --ready --role worker --pool agents
    """
    if live and ready:
        raise typer.BadParameter("give one of --live and --ready")
    if pool is not None and role == "router":
        raise typer.BadParameter("a router serves no pool: give --role worker, or leave --pool out")
    wanted = "worker" if pool is not None else role
    loaded = configuration(config)
    here, problems, code = _living(loaded, wanted, pool) if live else _connected(loaded, wanted, pool)
    if as_json:
        shown = {"healthy": not problems, "probe": "live" if live else "ready", "role": wanted, "pool": pool}
        document(shown | {"processes": here, "problems": problems})
    elif not problems:
        say(f"{'live' if live else 'ready'}: {', '.join(here) or 'server and store'}")
    if problems:
        complain("\n".join(f"health: {problem}" for problem in problems))
        raise typer.Exit(code)


def _living(config: Config, role: str | None, pool: str | None) -> tuple[list[str], list[str], int]:
    """(processes, problems, exit code if there are problems)."""
    from dispatcher.names import host_name
    from dispatcher.pulse import beats

    found = [beat for beat in beats(config.data_dir, host_name()) if _fits(beat.holder, role, pool)]
    problems = [
        f"{beat.holder.role} of {'+'.join(beat.holder.serves)}, pid {beat.holder.pid}, hangs: its last round was {beat.age_s:.0f} s ago; "
        "start it again"
        for beat in found
        if beat.age_s > HANGS_S
    ]
    if not found:
        problems.append(
            f"no {_named(role, pool)} of {config.data_dir} runs here; start one with `wake worker{' --route' if role == 'router' else ''}`"
        )
    return [beat.name for beat in found], problems, 1


def _connected(config: Config, role: str | None, pool: str | None) -> tuple[list[str], list[str], int]:
    from dispatcher.embedded import server_url
    from dispatcher.names import holder_of, host_name
    from dispatcher.store.layout import compare_layout
    from dispatcher.store.opened import open_store

    try:
        store = open_store(config, server_url(config), client_name="wake-health")
        compare_layout(store.client, store.keys)
        present = store.ledger.presences()
        store.close()
    except StoreUnavailable as error:
        return [], [str(error)], UNREACHABLE
    except LayoutMismatch as error:
        return [], [str(error)], 1
    if role is None:
        return [], [], 1
    named = ((name, holder_of(name)) for name in present)
    here = [name for name, holder in named if holder and holder.host == host_name() and _fits(holder, role, pool)]
    return here, [] if here else [f"no {_named(role, pool)} on this host is connected to the server; see its log"], 1


def _fits(holder: Holder, role: str | None, pool: str | None) -> bool:
    return role in (None, holder.role) and (pool is None or pool in holder.serves)


def _named(role: str | None, pool: str | None) -> str:
    return f"worker of pool {pool}" if pool is not None else role or "router or worker"
