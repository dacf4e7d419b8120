"""The `wake` command: its subcommands, its exit codes, and what becomes of errors. `wake exec` has a way of its own (see the package)."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import dispatcher
from dispatcher.cli import (
    access,
    agents,
    audit,
    backup,
    beginning,
    bindings,
    cancelling,
    completing,
    completions,
    dead,
    demo,
    doctor,
    explaining,
    health,
    holding,
    metrics,
    openclaw_import,
    processes,
    reloading,
    scaling,
    service,
    settings,
    simulation,
    spooled,
    status,
    tokens,
    top,
    tracing,
    waking,
)
from dispatcher.cli.output import complain, document
from dispatcher.cli.reach import ConfigFile, name_configuration
from dispatcher.core import errors
from dispatcher.core.exit_codes import FINE, NO, UNREACHABLE, USAGE

_CODES: tuple[tuple[type[errors.WakeError], int], ...] = (
    (errors.StoreUnavailable, UNREACHABLE),
    (errors.InboxFull, UNREACHABLE),  # it passes: trying again later is the remedy, as for a server that is away
    (errors.ConfigError, USAGE),
    (errors.LayoutMismatch, USAGE),
    (errors.InvalidCompletion, USAGE),
    (errors.InvalidAddress, USAGE),
    (errors.EmbeddedServerError, USAGE),
    (errors.UnknownCompletion, NO),
    (errors.BackupError, NO),
    (errors.NotRevived, NO),
    (errors.NotHeld, NO),
    (errors.NotRunning, NO),
    (errors.NothingRecorded, NO),
)

# No markup mode: help and usage errors are plain text, the same with and without a terminal.
app = typer.Typer(name="wake", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"wake-dispatcher {dispatcher.__version__}")
        raise typer.Exit


@app.callback(context_settings={"help_option_names": ["-h", "--help"]})
def wake(
    config: ConfigFile = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """When a command ends, wake the one agent that owns it.

    Every command takes --json (one JSON document on standard output, nothing else) and --config FILE.
    Exit codes: 0 fine, 1 the answer is no, 2 usage or configuration, 75 the server cannot be reached (try again later).

    \b
    Examples:
      wake init
      wake up
      wake exec --session-key agent:ops:main -- make test
      wake trace COMPLETION_ID
    """
    name_configuration(config)


GROUPS = (
    beginning,
    processes,
    reloading,
    completions,
    waking,
    tracing,
    bindings,
    status,
    top,
    scaling,
    explaining,
    holding,
    cancelling,
    health,
    metrics,
    agents,
    audit,
    dead,
    spooled,
    tokens,
    access,
    settings,
    service,
    openclaw_import,
    doctor,
    backup,
    completing,
    simulation,
    demo,
)
for group in GROUPS:
    group.register(app)


def run(argv: list[str] | None = None) -> int:
    """Runs one command line and returns its exit code. No expected error leaves as a traceback."""
    words = sys.argv[1:] if argv is None else argv
    exec_words = processes.exec_behind_options(words)
    if exec_words is not None:
        from dispatcher.cli.exec_command import main

        return main(exec_words)
    as_json = "--json" in words
    try:
        app(words, prog_name="wake")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else FINE if end.code is None else NO
        if as_json and code == USAGE:
            document({"error": "usage; standard error says what is wrong"})
        return code
    except errors.WakeError as error:
        found = next((number for kind, number in _CODES if isinstance(error, kind)), None)
        if found is None:
            raise
        said = _words(error)
        complain(said)
        if as_json:
            document({"error": said} | ({"problems": error.problems} if isinstance(error, errors.ConfigError) else {}))
        return found
    return FINE


def _words(error: errors.WakeError) -> str:
    """One problem without a file, such as a folder that cannot be written, is no fault of the configuration: it stands for itself."""
    if isinstance(error, errors.ConfigError) and error.source is None and len(error.problems) == 1:
        return error.problems[0]
    return str(error)
