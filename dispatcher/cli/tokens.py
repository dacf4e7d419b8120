"""`wake token`: keys, and tokens for who may report for which agents."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dispatcher.cli.options import duration_ms
from dispatcher.cli.output import document, say
from dispatcher.cli.reach import AsJson, ConfigFile, configuration
from dispatcher.core.errors import ConfigError, InvalidAddress
from dispatcher.core.session_key import fold_agent_id

MAX_TTL_MS = 366 * 86_400_000

tokens = typer.Typer(help="Tokens for who may report for which agents.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(tokens, name="token")


@tokens.command()
def keygen(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="Default: the first of [tokens] key_files.")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="Keep the newest key that is there, so that its tokens stay valid.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make the key that signs tokens, in a file that only you can read. Exit code 2 when the file is there, unless --rotate.

    Rotate again when the tokens of the older key have run out: it is gone then. Routers and ingress read the file anew by themselves.

    \b
    Examples:
      wake token keygen
      wake token keygen --rotate
    """
    from dispatcher.tokens import MARK, key_files, new_key

    path = Path(file).expanduser().absolute() if file else key_files(configuration(config))[0]
    try:
        kept = [word for word in path.read_text("ascii").split() if word.startswith(MARK)][:1] if rotate else []
        _write(path, [new_key(), *kept], replace=rotate)
    except FileExistsError:
        raise ConfigError([f"token keygen: {path} is there already; use --rotate to put a new key before its newest one"]) from None
    except (OSError, ValueError) as error:
        raise ConfigError([f"token keygen: {path}: {getattr(error, 'strerror', None) or error}; name another FILE"]) from None
    if as_json:
        document({"file": str(path), "keys": 1 + len(kept)})
    else:
        say(f"{path}: {'a new key signs, the one before still verifies' if kept else 'one key'}")


@tokens.command()
def mint(
    agent: Annotated[list[str], typer.Option("--agent", metavar="ID", help="Agent, or pattern such as lab-*; may be repeated.")],
    ttl: Annotated[str, typer.Option("--ttl", metavar="TIME", help="How long it is valid: 90s, 30m, 1h, 7d.")] = "1h",
    wakes: Annotated[bool, typer.Option("--wakes", help="Also for asking for wakes, not for completions alone.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print a token for reporting completions of these agents and of no other. It is a secret, and kept nowhere.

    \b
    Examples:
      wake token mint --agent ops --ttl 1h
      WAKE_INGRESS_TOKEN=$(wake token mint --agent ops) wake exec --session-key agent:ops:main -- make test
      wake token mint --agent "lab-*" --agent ops --ttl 7d --wakes --json
    """
    from dispatcher.config.selectors import is_pattern
    from dispatcher.tokens import Keyring

    ttl_s = duration_ms("--ttl", ttl, least_ms=1_000, most_ms=MAX_TTL_MS) // 1_000
    loaded = configuration(config)
    agents = [name.lower() for name in agent]
    for name in agents:
        if not is_pattern(name) and not loaded.knows(fold_agent_id(name)):
            raise InvalidAddress(
                "unknown-agent", f"token mint agent={name[:80]!r}: not configured; add [agents.{name[:80]}], or correct it"
            )
    now_s = int(time.time())
    try:
        token = Keyring(loaded).mint(agents, ttl_s=ttl_s, now_s=now_s, wakes=wakes)
    except ValueError as error:
        raise typer.BadParameter(f"--agent: {error}") from None
    if as_json:
        until = datetime.fromtimestamp(now_s + ttl_s, UTC).isoformat()
        document({"token": token, "agents": agents, "wakes": wakes, "expires_at": until})
    else:
        sys.stdout.write(token + "\n")


def _write(path: Path, keys: list[str], *, replace: bool) -> None:
    """Whole or not at all, and never readable by others. Raises FileExistsError unless it may be replaced."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("".join(f"{key}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(fresh, path)
        else:
            os.link(fresh, path)
    finally:
        Path(fresh).unlink(missing_ok=True)
