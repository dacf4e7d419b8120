"""Handing in a completion, and asking who would get it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dispatcher.cli.output import complain, document, say, table
from dispatcher.cli.reach import AsJson, ConfigFile, configuration, reach, token_words
from dispatcher.core import session_key as keys
from dispatcher.core.errors import InvalidAddress, StoreUnavailable

if TYPE_CHECKING:
    from dispatcher.config import Config
    from dispatcher.core.models import Route


def register(app: typer.Typer) -> None:
    app.command()(submit)
    app.command()(resolve)


def submit(
    session_key: Annotated[str, typer.Option("--session-key", metavar="KEY", help="Session that the command belonged to.")],
    completion_id: Annotated[str | None, typer.Option("--id", help="Completion id; the same id counts once.", show_default=False)] = None,
    exit_code: Annotated[int | None, typer.Option("--exit-code", help="How the command ended.", show_default=False)] = None,
    output: Annotated[str, typer.Option("--output", help="What it printed.", show_default=False)] = "",
    agent: Annotated[str | None, typer.Option("--agent", help="Agent that is meant; it must own the session.", show_default=False)] = None,
    run_id: Annotated[str | None, typer.Option("--run-id", help="Run that the command was a part of.", show_default=False)] = None,
    step_id: Annotated[str | None, typer.Option("--step-id", help="Step of that run.", show_default=False)] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Report a command that has ended. Returns when the completion is durable.

    Exit code 0 without output is a quiet success: recorded, and wakes nobody.

    \b
    Examples:
      wake submit --session-key agent:ops:main --exit-code 1 --output "2 tests failed"
      wake submit --session-key node-mac --id build-17 --json
    """
    from dispatcher.causes import inherited
    from dispatcher.submit import completion_of
    from dispatcher.submit import submit as submit_checked

    words = {"session_key": session_key, "completion_id": completion_id, "exit_code": exit_code, "output": output or None}
    words |= {"agent_id": agent, "run_id": run_id, "step_id": step_id}
    given = {name: value for name, value in words.items() if value is not None} | token_words()
    reported = completion_of(given | inherited())
    reach(config, writes=True)
    receipt = submit_checked(reported)
    if as_json:
        document(receipt.model_dump())
    else:
        say(f"{'accepted before' if receipt.duplicate else 'accepted'}: {receipt.completion_id} (inbox entry {receipt.entry_id})")


def resolve(
    session_keys: Annotated[list[str], typer.Argument(metavar="KEY...", help='Session keys; "" is the blank one.')],
    agent: Annotated[str | None, typer.Option("--agent", help="Agent that the producer names.", show_default=False)] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Say which agent a completion with this session key would wake. Changes nothing; exit code 1 when it would wake nobody.

    With --json: one object for one key, a list of them for several. Keys of the form agent:ID:REST need no server.

    \b
    Examples:
      wake resolve agent:ops:main
      wake resolve node-mac global --json
    """
    loaded = configuration(config)
    answers = [_answer(loaded, key, agent) for key in session_keys]
    if as_json:
        document([shown for shown, _ in answers] if len(answers) > 1 else answers[0][0])
    else:
        columns = ("session key", "agent", "session", "queue", "via / reason")
        cells = [(key, *_cells(shown)) for key, (shown, _) in zip(session_keys, answers, strict=True)]
        table(columns, cells)
        for _, why in answers:
            if why:
                complain(why)
    if any(why for _, why in answers):
        raise typer.Exit(1)


def _answer(config: Config, key: str, agent: str | None) -> tuple[dict[str, str | None], str]:
    """The answer as it is printed, and words about it if nobody owns the key."""
    try:
        route = _route(config, key, agent)
    except InvalidAddress as error:
        return {"status": "dead-letter", "agent_id": None, "session_key": key, "queue": None, "reason": str(error.reason)}, str(error)
    address = route.address
    return {
        "status": "routed",
        "agent_id": address.agent_id,
        "session_key": address.session_key,
        "queue": route.queue,
        "via": route.via,
    }, ""


def _route(config: Config, key: str, agent: str | None) -> Route:
    try:
        return reach(None).router().resolve(key, agent)
    except StoreUnavailable:
        if keys.shape(key) is keys.Shape.LEGACY_OR_ALIAS:
            raise  # the store's bindings would win over those of the file: without them any answer may be wrong
    return _configured_route(config, key, agent)


def _configured_route(config: Config, key: str, agent: str | None) -> Route:
    """As the router answers for a store in which nothing was moved by hand. No binding is asked for such a key."""
    from dispatcher.core.models import Route
    from dispatcher.core.resolve import resolve as resolve_key
    from dispatcher.homes import queue_of

    routing = config.routing
    found = resolve_key(
        key, agent, {}, routing.default_agent, config.knows, lambda agent_id: config.agent(agent_id).enabled, config.defaults.main_key
    )
    pool = config.pool_of(found.agent_id)
    return Route(address=found.address, pool=pool, queue=queue_of(config, found.agent_id, pool), via=found.via)


def _cells(shown: dict[str, str | None]) -> tuple[str | None, ...]:
    if shown["status"] != "routed":
        return "dead letter", None, None, shown["reason"]
    return shown["agent_id"], shown["session_key"], shown["queue"], shown["via"]
