"""Asking for a turn of one agent by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dispatcher.cli.asking import by
from dispatcher.cli.output import document, say
from dispatcher.cli.reach import AsJson, ConfigFile, Reach, configuration, reach, token_words
from dispatcher.core import session_key as keys
from dispatcher.core.errors import InvalidAddress
from dispatcher.core.models import Intent, Receipt

if TYPE_CHECKING:
    from dispatcher.config import Config
    from dispatcher.core.resolve import Resolved

INTENTS = [intent.value for intent in Intent if intent is not Intent.SCHEDULED]


def register(app: typer.Typer) -> None:
    app.command()(wake)


def wake(
    agent: Annotated[str, typer.Argument(metavar="AGENT")],
    session: Annotated[
        str, typer.Option("--session", metavar="KEY", help="One of its sessions, whole or without agent:ID:. Default: its main one.")
    ] = "",
    intent: Annotated[str, typer.Option("--intent", metavar="|".join(INTENTS), help="How urgent it is.")] = Intent.MANUAL.value,
    text: Annotated[str, typer.Option("--text", help="What the agent is told.", show_default=False)] = "",
    wake_id: Annotated[str | None, typer.Option("--id", help="Id of this wake; the same id counts once.", show_default=False)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say for which session it would be.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Ask for one turn of an agent. Returns when that is durable; `wake trace` tells what became of it.

    A manual wake does not wait for cooldowns, and a batch that waits for its retry runs before it.

    \b
    Examples:
      wake wake ops
      wake wake ops --dry-run
      wake wake ops --session side --intent event --text "the disk is full"
    """
    if intent not in INTENTS:
        raise typer.BadParameter(f"--intent {intent}: give one of {', '.join(INTENTS)}")
    found = owner_of(configuration(config), agent, session)
    if dry_run:
        _would(found, intent, as_json=as_json)
        return
    receipt = request_turn(reach(config, writes=True), found, intent, text, wake_id)
    if as_json:
        document(receipt.model_dump() | {"agent_id": found.agent_id, "session_key": found.session_key})
    else:
        said = "accepted before" if receipt.duplicate else "accepted"
        say(f"{said}: {receipt.completion_id} for {found.session_key}; `wake trace {receipt.completion_id}` tells what became of it")


def request_turn(reached: Reach, owner: Resolved, intent: str = Intent.MANUAL.value, text: str = "", wake_id: str | None = None) -> Receipt:
    """Accepts the wake, after its receipt. Raises InvalidCompletion, InboxFull or StoreUnavailable."""
    from dispatcher.causes import inherited
    from dispatcher.core.identity import new_completion_id
    from dispatcher.submit import submit_wake

    wake_id = wake_id or new_completion_id()
    reached.store.acts.note("wake", owner.agent_id, by(), text[:200], wake_id)
    words = {"agent_id": owner.agent_id, "session_key": owner.session_key, "intent": intent, "text": text, "wake_id": wake_id}
    return submit_wake({name: value for name, value in words.items() if value} | inherited() | token_words())


def _would(found: Resolved, intent: str, *, as_json: bool) -> None:
    if as_json:
        document({"agent_id": found.agent_id, "session_key": found.session_key, "intent": intent, "dry_run": True})
    else:
        say(f"would be accepted: a wake ({intent}) for {found.session_key}")


def owner_of(config: Config, agent: str, session: str) -> Resolved:
    """The agent's session that is meant. Raises InvalidAddress for an unknown or disabled agent, or a session of another one."""
    from dispatcher.core.resolve import resolve

    if not config.knows(keys.fold_agent_id(agent)):
        raise InvalidAddress("unknown-agent", f"wake agent={agent!r}: not configured; add [agents.{agent}], or correct it")
    main_key = config.defaults.main_key
    bare = session and keys.shape(session) is keys.Shape.LEGACY_OR_ALIAS and keys.valid_agent_id(agent)
    key = keys.qualify(agent.lower(), session, main_key) if bare else session
    return resolve(key, agent, {}, None, config.knows, lambda agent_id: config.agent(agent_id).enabled, main_key)
