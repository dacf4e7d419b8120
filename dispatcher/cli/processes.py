"""The long-running commands: this process becomes the server's supervisor, or a worker. And `exec`, for the list of commands."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from dispatcher.cli.output import document
from dispatcher.cli.reach import AsJson, ConfigFile, configuration


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(worker)
    app.command()(flower)
    app.command()(web)
    app.command(name="exec", add_help_option=False)(exec_)


def up(
    flower: Annotated[bool, typer.Option("--flower", help="Run Flower too: http://127.0.0.1:5555, behind a password.")] = False,
    flower_port: Annotated[int, typer.Option(min=1, max=65_535, help="Port of Flower.")] = 5555,
    http: Annotated[bool, typer.Option("--http", help="Take completions over HTTP too, as [http] says.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run server, router and workers here, and restart what dies. Ctrl-C drains.

    Without a [redis] url the embedded server starts too; every other command then finds it through the data folder.
    Everything it says goes to standard error; with --json its process id goes to standard output first.

    \b
    Examples:
      wake up
      wake up --flower
      wake up --http
    """
    configuration(config)
    words = ["up", "--flower", "--flower-port", str(flower_port)] if flower else ["up"]
    _become([*words, "--http"] if http else words, as_json)


def web(
    host: Annotated[str | None, typer.Option(help="Address instead of [http] host.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65_535, help="Port instead of [http] port.", show_default=False)] = None,
    uds: Annotated[str | None, typer.Option(metavar="PATH", help="Listen on this Unix socket instead.", show_default=False)] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Take completions and wakes over HTTP, for programs that speak neither Celery nor Redis. Needs the extra `http`.

    On loopback, and with a bearer token for every request, unless [http] says otherwise; `wake token keygen` first.
    /openapi.json says what it takes, docs/http.md how to use it.

    \b
    Examples:
      wake web
      wake web --port 9000
      wake web --uds /run/wake/http.sock
    """
    if uds is not None and (host is not None or port is not None):
        raise typer.BadParameter("give --uds, or --host and --port")
    configuration(config)
    words = ["web"]
    for name, value in (("--host", host), ("--port", port), ("--uds", uds if uds is None else os.path.abspath(uds))):
        words += [name, str(value)] if value is not None else []
    _become(words, as_json)


def flower(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 5555,
    address: Annotated[str, typer.Option(help="Address to listen on. Beyond loopback, put TLS before it.")] = "127.0.0.1",
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run Flower alone, for workers that were started one by one. Needs the extra `flower`.

    It says where its password is; with FLOWER_BASIC_AUTH=user:password in the environment that one holds.

    \b
    Example:
      wake flower --port 5556
    """
    configuration(config)
    _become(["flower", "--port", str(port), "--address", address], as_json)


def worker(
    pool: Annotated[str | None, typer.Option(help="Serve this pool (default: agents).", show_default=False)] = None,
    agent: Annotated[str | None, typer.Option(help="Serve this agent alone, in a pool of its own.", show_default=False)] = None,
    route: Annotated[bool, typer.Option("--route", help="Be a router: from the inbox to the mailboxes.")] = False,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Heartbeats at a time.", show_default=False)] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run one worker: of a pool, of one agent, or a router.

    \b
    Examples:
      wake worker
      wake worker --pool research --concurrency 4
      wake worker --agent ops
      wake worker --route
    """
    if sum((pool is not None, agent is not None, route)) > 1:
        raise typer.BadParameter("give one of --pool, --agent and --route")
    configuration(config)
    words = ["worker"]
    for name, value in (("--pool", pool), ("--agent", agent), ("--concurrency", concurrency)):
        words += [name, str(value)] if value is not None else []
    _become([*words, "--route"] if route else words, as_json)


def exec_() -> None:
    """Run a command and report its end; `wake exec --help` tells more.

    \b
    Example:
      wake exec --session-key agent:ops:main -- make test
    """


def exec_behind_options(words: list[str]) -> list[str] | None:
    """What follows `exec` when only --config stands before it, with that option; else None.

    exec reads its own command line: what it runs may have any words, and starts before anything slow is imported.
    """
    given: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("--config"):
        word = rest.pop(0)
        if word == "--config" and rest:
            given = [f"--config={rest.pop(0)}"]
        elif word.startswith("--config="):
            given = [word]
        else:
            return None
    return [*given, *rest[1:]] if rest[:1] == ["exec"] else None


def _become(words: list[str], as_json: bool) -> None:
    """Replaces this process. -P: a folder named `workers` in the current one must not stand in for ours."""
    if as_json:
        document({"pid": os.getpid(), "command": words[0]})
        os.dup2(2, 1)  # nothing but the document goes to standard output, whoever prints
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "workers", *words])
