"""A copy of what the embedded server holds, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dispatcher.cli.output import document, say
from dispatcher.cli.reach import AsJson, ConfigFile, configuration, reach

ELSEWHERE = "the server of [redis] url writes its files on its own host, and has tools of its own; docs/operations.md names them"


def register(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; replaced when the backup is complete.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Copy all that the embedded server holds at one moment, while everything goes on. The file is for your eyes only.

    \b
    Examples:
      wake backup wake.rdb
      wake backup "/mnt/backups/wake-$(date +%F).rdb" --json
    """
    from dispatcher.store.backup import back_up

    if configuration(config).redis_url():
        raise typer.BadParameter(ELSEWHERE, param_hint="FILE")
    found = reach(config)
    size_bytes = back_up(found.store.client, found.config.data_dir, file.absolute())
    if as_json:
        document({"file": str(file), "size_bytes": size_bytes})
    else:
        say(f"{file}: {size_bytes} bytes; `wake restore {file}` takes it back")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `wake backup` wrote.")],
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of what the embedded server holds. Stop `wake up` first; what was there is moved aside, not deleted.

    Completions that were accepted since the backup are gone, as are settlements: what waited or ran then runs again.

    \b
    Examples:
      wake restore wake.rdb && wake up
    """
    from dispatcher.store.backup import restore as take_back

    loaded = configuration(config)
    if loaded.redis_url():
        raise typer.BadParameter(ELSEWHERE, param_hint="FILE")
    aside = take_back(loaded.data_dir.absolute(), file.absolute())
    if as_json:
        document({"file": str(file), "data_dir": str(loaded.data_dir), "aside": str(aside) if aside else None})
        return
    say(f"{loaded.data_dir} holds {file} now; start it with `wake up`")
    if aside:
        say(f"what was there lies in {aside}")
