"""`wake acl`: users of the server for each part of the program, as lines of its ACL file."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dispatcher.cli.output import document
from dispatcher.cli.reach import AsJson, ConfigFile, configuration
from dispatcher.core.errors import ConfigError

if TYPE_CHECKING:
    from dispatcher.access import User

Role = Literal["producer", "ingress", "router", "worker", "operator", "monitor", "flower"]
DEFAULT_OFF = "user default off resetpass resetkeys resetchannels -@all"


def register(app: typer.Typer) -> None:
    app.command()(acl)


def acl(
    role: Annotated[Role | None, typer.Argument(metavar="ROLE", help="One role alone; default: all.", show_default=False)] = None,
    pool: Annotated[list[str] | None, typer.Option("--pool", help="Of a worker: its pool; may be repeated.", show_default=False)] = None,
    passwords: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="A file for each user with its password, made up if it is not there.", show_default=False),
    ] = None,
    variables: Annotated[bool, typer.Option("--variables", help="Passwords as ${WAKE_ROUTER_PASSWORD} …, for a shell to fill in.")] = False,
    setuser: Annotated[bool, typer.Option("--setuser", help="ACL SETUSER commands for valkey-cli, instead of lines of a file.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Print users of the server with the least rights that work: an ACL file, which also locks the user `default`.

    Producer, ingress (`wake web`), router, a worker of each pool, operator, monitor and flower. Asks no server. Without --passwords and
    --variables the users have no password, and nobody can log in as they are. Again after a pool was added. docs/threats.md says what
    each may do.

    \b
    Examples:
      wake acl --passwords secrets > users.acl
      wake acl worker --pool research
      wake acl --setuser --passwords secrets | valkey-cli
    """
    from dispatcher.access import Roles, hashed
    from dispatcher.config.server_url import ServerUrl

    loaded = configuration(config)
    roles = Roles(loaded, ServerUrl.parse(loaded.redis.url).database if loaded.redis.url else 0)
    for name in pool or ():
        if name not in loaded.pool_names():
            raise ConfigError([f"acl: no pool {name[:80]!r}; there are {', '.join(loaded.pool_names())}"])
    pools = tuple(pool or loaded.pool_names())
    users = [roles.of(role, pools)] if role else roles.all(pools)
    if role == "worker" and not pool:
        users = [roles.worker(name) for name in pools]

    def password_of(user: User) -> list[str]:
        if variables:
            return [f">${{{variable_of(user.name, loaded.redis.prefix)}}}"]
        return [hashed(_password(Path(passwords).expanduser() / user.name))] if passwords else []

    lines = [(user.name, " ".join(["on", "resetpass", *password_of(user), user.rules()])) for user in users]
    if as_json:
        document({"users": [{"name": name, "rules": rules} for name, rules in lines]})
        return
    start = "ACL SETUSER" if setuser else "user"
    head = [] if setuser or role else [DEFAULT_OFF]
    sys.stdout.write("".join(f"{line}\n" for line in [*head, *(f"{start} {name} {_quoted(rules, setuser)}" for name, rules in lines)]))


def variable_of(user: str, prefix: str) -> str:
    """The environment variable that --variables names for a user: WAKE_WORKER_OPS_PASSWORD for `wake-worker-ops`."""
    return f"WAKE_{user.removeprefix(f'{prefix}-')}_PASSWORD".upper().replace("-", "_")


def _quoted(rules: str, setuser: bool) -> str:
    """For `valkey-cli` a selector is one word; in a file its brackets hold it together."""
    return rules.replace("(", '"(').replace(")", ')"') if setuser else rules


def _password(path: Path) -> str:
    """Of this file, which only its owner can read; made up when there is none. Raises ConfigError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(24) + "\n")
        except FileExistsError:
            pass
        found = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"acl: {path}: {getattr(error, 'strerror', None) or 'is not text'}; name another folder"]) from None
    if not found:
        raise ConfigError([f"acl: {path} holds no password; write one into it, or delete it"])
    return found
