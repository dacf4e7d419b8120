"""Dead letters: list, show, revive, drop; one, or all that fit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatcher.cli.options import duration_ms
from dispatcher.cli.output import age, complain, document, facts, say, table, when
from dispatcher.cli.reach import AsJson, ConfigFile, reach
from dispatcher.core.errors import NotRevived, UnknownCompletion
from dispatcher.core.models import DeadLetter

if TYPE_CHECKING:
    from dispatcher.dead_letters import Chosen, DeadLetters

CompletionId = Annotated[str, typer.Argument(metavar="ID", help="Completion id.")]
OneId = Annotated[str | None, typer.Argument(metavar="ID", help="Completion id; or choose several by the options.", show_default=False)]
Reason = Annotated[str | None, typer.Option(help="Only with this reason, as in `unbound-key`.", show_default=False)]
Agent = Annotated[str | None, typer.Option(help="Only of this agent.", show_default=False)]
Session = Annotated[str | None, typer.Option(help="Only with this session key.", show_default=False)]
Older = Annotated[str | None, typer.Option(metavar="AGE", help="Only those dead for longer: 90s, 15m, 12h, 7d.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]
dead = typer.Typer(help="Completions that were set aside, with their reason.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(dead, name="dead")


@dead.command("list")
def list_letters(
    reason: Reason = None,
    agent: Agent = None,
    session_key: Session = None,
    older_than: Older = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest last.

    \b
    Examples:
      wake dead list --json
      wake dead list --reason attempts-exhausted --agent ops --older-than 12h
    """
    which = _chosen(reason, agent, session_key, older_than)
    reached = reach(config)
    now_ms = reached.store.ledger.now_ms()
    rows = [_row(letter, now_ms) for letter in reached.dead_letters().chosen(which)]
    if as_json:
        document({"dead_letters": rows})
    else:
        cells = [(r["completion_id"], r["reason"], r["session_key"], r["agent_id"], r["attempts"], age(r["age_s"])) for r in rows]
        table(("completion", "reason", "session key", "agent", "attempts", "age"), cells)


@dead.command()
def show(completion_id: CompletionId, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show one dead letter: where it came from, its errors, its batch, and what the agent would have been told. Exit code 1: there is none.

    \b
    Example:
      wake dead show build-17
    """
    reached = reach(config)
    letter, record = reached.dead_letters().find(completion_id)
    shown = _row(letter, reached.store.ledger.now_ms()) | {
        "accepted_at_ms": int(record["accepted_at"] if "wake" in record else record["at"]),
        "dead_at_ms": letter.dead_at_ms,
        "via": _via(record),
        "revivals": int(record.get("revival", 0)),
        "batch_id": letter.batch_id,
        "errors": list(letter.errors),
        "text": _text(record),
        "output": record.get("output", ""),
    }
    if as_json:
        document(shown)
        return
    names = {"completion_id": "completion", "reason": "reason", "session_key": "session key", "agent_id": "agent", "via": "via"}
    names |= {"attempts": "attempts", "revivals": "revivals", "batch_id": "batch"}
    told = [(title, shown[name]) for name, title in names.items()]
    if letter.handoff_to:
        told.append(("unfinished", f"its revival for {letter.handoff_to} was interrupted; `wake dead revive {completion_id}` completes it"))
    times = [("accepted", when(shown["accepted_at_ms"])), ("dead since", when(letter.dead_at_ms))]
    facts([*told, *times, ("text", shown["text"]), *(("error", error) for error in letter.errors)])


@dead.command()
def revive(
    completion_id: OneId = None,
    reason: Reason = None,
    agent: Agent = None,
    session_key: Session = None,
    older_than: Older = None,
    every: All = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Give dead letters to the agents that own their session keys now. Exit code 1 when nobody owns one; that letter stays.

    Each keeps its id and is resolved afresh; one whose revival was interrupted goes to the agent that it was for.

    \b
    Examples:
      wake bind node-mac ops && wake dead revive build-17
      wake dead revive --reason unbound-key
    """
    which = _several(completion_id, reason, agent, session_key, older_than, every)
    letters = reach(config, writes=True).dead_letters()
    if which is not None:
        _revive_several(letters, which, as_json)
        return
    revived = _revived(letters, str(completion_id))
    if as_json:
        document(revived)
    else:
        say(_revived_line(revived))


@dead.command()
def drop(
    completion_id: OneId = None,
    reason: Reason = None,
    agent: Agent = None,
    session_key: Session = None,
    older_than: Older = None,
    every: All = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Drop dead letters for good. Their fate is `dropped` from then on.

    \b
    Examples:
      wake dead drop build-17 --yes
      wake dead drop --agent ops --older-than 30d
    """
    which = _several(completion_id, reason, agent, session_key, older_than, every)
    letters = reach(config, writes=True).dead_letters()
    chosen = letters.chosen(which) if which is not None else [letters.find(str(completion_id))[0]]
    if chosen:
        _ask(f"{chosen[0].completion_id} ({chosen[0].reason})" if which is None else f"{len(chosen)} dead letters", yes, as_json)
    dropped, failed = [], []
    for letter in chosen:
        try:
            dropped.append(letters.drop(letter.completion_id).completion_id)
        except (NotRevived, UnknownCompletion) as error:
            if which is None:
                raise
            failed.append({"completion_id": letter.completion_id, "error": str(error)})
    if as_json:
        document({"completion_id": dropped[0], "dropped": True} if which is None else {"dropped": dropped, "failed": failed})
    else:
        say(f"dropped: {dropped[0]}" if which is None else f"{len(dropped)} dropped, {len(failed)} left")
    _complain_of(failed)


def _ask(what: str, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise typer.BadParameter("dropping cannot be undone, and nobody can be asked here: give --yes")
    if not typer.confirm(f"Drop {what} for good?", err=True):
        raise typer.Exit(1)


def _revive_several(letters: DeadLetters, which: Chosen, as_json: bool) -> None:
    revived, failed = [], []
    for letter in letters.chosen(which):
        try:
            revived.append(_revived(letters, letter.completion_id))
        except (NotRevived, UnknownCompletion) as error:
            failed.append({"completion_id": letter.completion_id, "error": str(error)})
    if as_json:
        document({"revived": revived, "failed": failed})
    else:
        for one in revived:
            say(_revived_line(one))
        say(f"{len(revived)} revived, {len(failed)} left")
    _complain_of(failed)


def _complain_of(failed: list[dict[str, str]]) -> None:
    if failed:
        complain("\n".join(one["error"] for one in failed))
        raise typer.Exit(1)


def _revived(letters: DeadLetters, completion_id: str) -> dict[str, Any]:
    route = letters.revive(completion_id)
    address = route.address
    return {"completion_id": completion_id, "agent_id": address.agent_id, "session_key": address.session_key, "via": route.via}


def _revived_line(revived: dict[str, Any]) -> str:
    return f"revived: {revived['completion_id']} -> {revived['session_key']} (via {revived['via']})"


def _several(one: str | None, reason: str | None, agent: str | None, session: str | None, older: str | None, every: bool) -> Chosen | None:
    """Which letters are meant, or None for the one that is named."""
    told = any(value is not None for value in (reason, agent, session, older))
    if one is not None and (told or every):
        raise typer.BadParameter("give an ID, or options that choose several, not both")
    if one is None and not told and not every:
        raise typer.BadParameter("give an ID, or --reason, --agent, --session-key, --older-than, or --all")
    return None if one is not None else _chosen(reason, agent, session, older)


def _chosen(reason: str | None, agent: str | None, session: str | None, older: str | None) -> Chosen:
    from dispatcher.dead_letters import Chosen

    older_ms = duration_ms("--older-than", older) if older is not None else 0
    return Chosen(reason, agent.lower() if agent else None, session, older_ms)


def _row(letter: DeadLetter, now_ms: int) -> dict[str, Any]:
    return {
        "completion_id": letter.completion_id,
        "reason": letter.reason,
        "session_key": letter.session_key,
        "agent_id": letter.agent_id,
        "attempts": letter.attempts,
        "age_s": round(max(0, now_ms - letter.dead_at_ms) / 1000, 3),
        "handoff_to": letter.handoff_to,
    }


def _via(record: dict[str, Any]) -> str | None:
    """How its owner was found; None for a letter without one."""
    from dispatcher.store.letters import wake_of

    return wake_of(record).via if "wake" in record else None


def _text(record: dict[str, Any]) -> str | None:
    """What the agent would have been told; of a letter without an owner what its producer sent, bounded."""
    from dispatcher.store.letters import wake_of

    return wake_of(record).text if "wake" in record else str(record.get("body", ""))[:4096]
