"""`wake service`: `wake up` under the machine's own service manager."""

from __future__ import annotations

import os
import pwd
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dispatcher.cli.output import complain, document, say
from dispatcher.cli.reach import AsJson, ConfigFile, configuration
from dispatcher.cli.service_files import Service, launchd_plist, systemd_unit
from dispatcher.core.errors import ConfigError

if TYPE_CHECKING:
    from dispatcher.config import Config

service_commands = typer.Typer(help="Run `wake up` as a service.", rich_markup_mode=None, no_args_is_help=True)


class Kind(StrEnum):
    SYSTEMD = "systemd"
    LAUNCHD = "launchd"


def register(app: typer.Typer) -> None:
    app.add_typer(service_commands, name="service")


@service_commands.command()
def install(
    user: Annotated[bool, typer.Option("--user", help="For your own service manager; else for the machine's.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the file and write nothing.")] = False,
    kind: Annotated[Kind | None, typer.Option("--kind", help="Default: this system's.", show_default=False)] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the service; another one for a second gateway.")] = "wake-dispatcher",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Write a systemd unit or a launchd property list for `wake up`, and say how to start it. It starts nothing itself.

    The machine's service runs as the owner of the configuration's folder. Exit code 1 when another file of that name is there.

    \b
    Examples:
      wake service install --user --dry-run
      wake service install --user
      wake --config /srv/wake/wake.toml service install --kind systemd
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", name):
        raise typer.BadParameter(f"--name {name[:100]!r}: letters, digits, _ . and -, first a letter or digit")
    chosen = kind or (Kind.LAUNCHD if sys.platform == "darwin" else Kind.SYSTEMD)
    made = _service(configuration(config), name, user)
    path = _path(chosen, name, user)
    text = systemd_unit(made) if chosen is Kind.SYSTEMD else launchd_plist(made)
    commands = _commands(chosen, path, name, user)
    if not dry_run:
        _write(path, text, force=force)
    if as_json:
        document({"path": str(path), "written": not dry_run, "kind": chosen.value, "text": text, "next": commands})
    elif dry_run:
        sys.stdout.write(text)
    else:
        say(f"written: {path}. Next:")
        for command in commands:
            say(f"  {command}")
    ours = sorted(variable for variable in os.environ if variable.startswith("WAKE_") and variable != "WAKE_CONFIG")
    if ours:
        complain(f"the service will not see {', '.join(ours)}, which are set here: write them into {made.program[-2]}")


def _service(config: Config, name: str, user: bool) -> Service:
    if config.source is None:
        raise ConfigError(["service install: there is no wake.toml here; make one with `wake init`, or name it with --config"])
    program = (sys.executable, "-P", "-m", "dispatcher.cli", "--config", str(config.source), "up")
    run_as = None if user else _owner(config.source)
    path = os.environ.get("PATH", os.defpath)
    return Service(name, program, config.base_dir, config.data_dir, path, config.lease.grace_ms, run_as)


def _owner(source: Path) -> str:
    """Raises ConfigError for a user id without a name, as in many containers."""
    uid = source.stat().st_uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        remedy = "give it to a user who has one, or use --user"
        raise ConfigError([f"service install: {source} belongs to user id {uid}, which has no name here; {remedy}"]) from None


def _path(kind: Kind, name: str, user: bool) -> Path:
    if kind is Kind.LAUNCHD:
        return (Path.home() / "Library/LaunchAgents" if user else Path("/Library/LaunchDaemons")) / f"{name}.plist"
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd/user"
    return (own if user else Path("/etc/systemd/system")) / f"{name}.service"


def _commands(kind: Kind, path: Path, name: str, user: bool) -> list[str]:
    if kind is Kind.LAUNCHD:
        return [f"launchctl bootstrap gui/$(id -u) '{path}'" if user else f"sudo launchctl bootstrap system '{path}'"]
    systemctl = "systemctl --user" if user else "sudo systemctl"
    lingering = ["loginctl enable-linger    # it then starts with the machine, not with your login"] if user else []
    return [f"{systemctl} daemon-reload", f"{systemctl} enable --now {name}", *lingering]


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        if os.path.lexists(path) and not force and path.read_bytes() != text.encode():
            complain(f"service install: {path} is there already and says something else; use --force to replace it, or --name")
            raise typer.Exit(1)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    except OSError as error:
        remedy = "use --user, or sudo" if isinstance(error, PermissionError) else "look at it with --dry-run"
        raise ConfigError([f"service install: {path}: {error.strerror or error}; {remedy}"]) from error
