"""Another configuration for the processes that run."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from dispatcher.cli.output import complain, document, say
from dispatcher.cli.reach import AsJson, ConfigFile, reach

LOOK_S = 0.1


def register(app: typer.Typer) -> None:
    app.command()(reload)


def reload(
    wait_s: Annotated[float, typer.Option("--wait", min=0, max=600, help="s to wait for the answers of routers and workers.")] = 10.0,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Let routers and workers, on every machine, read their wake.toml again. Nothing restarts, no heartbeat is disturbed.

    The file is checked here first, and by each process for itself; where it is not usable, the old configuration stays in force. Pending
    work and due times keep their meaning. SIGHUP does the same for one process. Exit code 1 when a process refused or did not answer.

    \b
    Examples:
      wake reload
      wake reload --wait 60 --json
    """
    reached = reach(config, writes=True)
    store = reached.store
    # Forked children are present as well; they follow their parent, before their next heartbeat.
    expected = {holder for holder in store.ledger.presences() if not holder.startswith("child.")}
    number = store.reloads.ask()
    until = time.monotonic() + wait_s
    while not expected <= set(answers := store.reloads.answers(number)) and time.monotonic() < until:
        time.sleep(LOOK_S)
    silent = sorted(expected - set(answers))
    refused = {holder: answer["problems"] for holder, answer in answers.items() if answer["problems"]}
    if as_json:
        document({"answers": answers, "silent": silent})
    else:
        _show(answers, silent)
    if refused or silent:
        raise typer.Exit(1)


def _show(answers: dict[str, dict[str, Any]], silent: list[str]) -> None:
    for holder, answer in answers.items():
        if answer["problems"]:
            complain(f"{holder}: refused, its configuration stays: {'; '.join(answer['problems'])}")
        else:
            later = f"; with the next start only: {', '.join(answer['restart'])}" if answer["restart"] else ""
            say(f"{holder}: reloaded{later}")
    for holder in silent:
        complain(f"{holder}: no answer; is it busy, or of an older version?")
    if not answers and not silent:
        say("no router and no worker is there; each reads the file when it starts")
