"""Dead letters: list, show, revive, drop."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from dispatcher.cli.output import age, document, facts, say, table, when
from dispatcher.cli.reach import AsJson, ConfigFile, reach
from dispatcher.core.models import DeadLetter

CompletionId = Annotated[str, typer.Argument(metavar="ID", help="Completion id.")]
dead = typer.Typer(help="Completions that were set aside, with their reason.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(dead, name="dead")


@dead.command("list")
def list_letters(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List all dead letters, the newest last.

    \b
    Example:
      wake dead list --json
    """
    ledger = reach(config).store.ledger
    now_ms = ledger.now_ms()
    letters = sorted(ledger.dead_letters(), key=lambda letter: (letter.dead_at_ms, letter.completion_id))
    rows = [_row(letter, now_ms) for letter in letters]
    if as_json:
        document({"dead_letters": rows})
    else:
        cells = [(r["completion_id"], r["reason"], r["session_key"], r["agent_id"], r["attempts"], age(r["age_s"])) for r in rows]
        table(("completion", "reason", "session key", "agent", "attempts", "age"), cells)


@dead.command()
def show(completion_id: CompletionId, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show one dead letter: its errors, its batch, and what the agent would have been told. Exit code 1 when there is none.

    \b
    Example:
      wake dead show build-17
    """
    reached = reach(config)
    letter, record = reached.dead_letters().find(completion_id)
    shown = _row(letter, reached.store.ledger.now_ms()) | {
        "dead_at_ms": letter.dead_at_ms,
        "batch_id": letter.batch_id,
        "errors": list(letter.errors),
        "text": _text(record),
        "output": record.get("output", ""),
    }
    if as_json:
        document(shown)
        return
    names = {"completion_id": "completion", "reason": "reason", "session_key": "session key", "agent_id": "agent"}
    names |= {"attempts": "attempts", "batch_id": "batch"}
    told = [(title, shown[name]) for name, title in names.items()]
    facts([*told, ("dead since", when(letter.dead_at_ms)), ("text", shown["text"]), *(("error", error) for error in letter.errors)])


@dead.command()
def revive(completion_id: CompletionId, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Give a dead letter to the agent that owns its session key now. Exit code 1 when nobody does; the letter stays.

    \b
    Example:
      wake bind node-mac ops && wake dead revive build-17
    """
    route = reach(config, writes=True).dead_letters().revive(completion_id)
    address = route.address
    if as_json:
        document({"completion_id": completion_id, "agent_id": address.agent_id, "session_key": address.session_key, "via": route.via})
    else:
        say(f"revived: {completion_id} -> {address.session_key} (via {route.via})")


@dead.command()
def drop(
    completion_id: CompletionId,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Drop a dead letter for good. Its fate is `dropped` from then on.

    \b
    Example:
      wake dead drop build-17 --yes
    """
    letters = reach(config, writes=True).dead_letters()
    letter, _ = letters.find(completion_id)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise typer.BadParameter("dropping cannot be undone, and nobody can be asked here: give --yes")
        if not typer.confirm(f"Drop {completion_id} ({letter.reason}) for good?", err=True):
            raise typer.Exit(1)
    letters.drop(completion_id)
    if as_json:
        document({"completion_id": completion_id, "dropped": True})
    else:
        say(f"dropped: {completion_id}")


def _row(letter: DeadLetter, now_ms: int) -> dict[str, Any]:
    return {
        "completion_id": letter.completion_id,
        "reason": letter.reason,
        "session_key": letter.session_key,
        "agent_id": letter.agent_id,
        "attempts": letter.attempts,
        "age_s": round(max(0, now_ms - letter.dead_at_ms) / 1000, 3),
    }


def _text(record: dict[str, Any]) -> str | None:
    """What the agent would have been told; of a letter without an owner what its producer sent, bounded."""
    from dispatcher.store.letters import wake_of

    return wake_of(record).text if "wake" in record else str(record.get("body", ""))[:4096]
