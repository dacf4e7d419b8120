"""Completions that `wake exec` kept because it could not hand them over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from dispatcher import spool
from dispatcher.cli.output import complain, document, say, table
from dispatcher.cli.reach import AsJson, ConfigFile, Reach, configuration, reach
from dispatcher.core.errors import ConfigError, InboxFull, InvalidCompletion, StoreUnavailable, WakeError
from dispatcher.core.exit_codes import UNREACHABLE

spooled = typer.Typer(help="Completions kept here until a server takes them.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(spooled, name="spool")


@spooled.command("list")
def list_spool(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List what waits, oldest first, and what was set aside because no retry can help. Needs no server.

    \b
    Example:
      wake spool list --json
    """
    folder = configuration(config).data_dir / "spool"
    try:
        waiting = [_waiting(path) for path in spool.pending(folder)]
        bad = [_bad(path) for path in spool.pending(folder / spool.BAD)]
    except OSError as error:
        raise _unreadable(folder, error) from error
    if as_json:
        document({"waiting": waiting, "bad": bad})
        return
    table(("completion", "session key", "file"), [(w["completion_id"], w["session_key"], w["file"]) for w in waiting], title="waiting")
    if bad:
        table(("reason", "file"), [(b["reason"], b["file"]) for b in bad], title="set aside")


@spooled.command()
def flush(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Deliver what waits now. Exit code 75 while the server cannot take it, 1 when something was set aside or is left.

    \b
    Example:
      wake spool flush
    """
    from dispatcher.submit import submit_completion

    folder = configuration(config).data_dir / "spool"
    reached: list[Reach] = []
    ended_by: list[WakeError] = []

    def submit(words: dict[str, Any]) -> object:
        try:
            if not reached:  # asked for once, and only when there is something to deliver
                reached.append(reach(None, writes=True))
            return submit_completion(words)
        except InvalidCompletion:
            raise
        except WakeError as error:
            ended_by.append(error)
            raise

    try:
        report = spool.flush(folder, submit)
    except OSError as error:
        raise _unreadable(folder, error) from error
    if ended_by and not isinstance(ended_by[0], StoreUnavailable | InboxFull):
        raise ended_by[0]
    if as_json:
        document({"sent": report.sent, "left": report.left, "bad": report.bad, "trouble": report.trouble})
    else:
        say(f"{report.sent} delivered, {report.left} left, {report.bad} set aside")
    if report.trouble:
        complain(report.trouble)
    if ended_by:
        raise typer.Exit(UNREACHABLE)
    if report.left or report.bad:
        raise typer.Exit(1)


def _waiting(path: Path) -> dict[str, Any]:
    try:
        words = json.loads(path.read_bytes())
    except (ValueError, RecursionError, FileNotFoundError):  # torn, or delivered at this moment
        words = {}
    words = words if isinstance(words, dict) else {}
    return {"file": str(path), "completion_id": words.get("completion_id"), "session_key": words.get("session_key")}


def _bad(path: Path) -> dict[str, Any]:
    try:
        reason = path.with_suffix(".reason").read_text("utf-8", "replace").strip()
    except FileNotFoundError:
        reason = ""
    return {"file": str(path), "reason": reason}


def _unreadable(folder: Path, error: OSError) -> ConfigError:
    return ConfigError([f"spool {folder}: {error.strerror or error}; correct its permissions, or [redis] data_dir"])
