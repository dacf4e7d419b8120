"""`wake import-openclaw`: a wake.toml for the agents of an OpenClaw gateway, and a list of what differs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dispatcher.cli.openclaw_file import OpenClawFile, Table, read_openclaw
from dispatcher.cli.output import complain, document
from dispatcher.cli.reach import AsJson

TOKEN_FILE = "openclaw-hooks.token"
GATEWAY_EVERY = "30m"
KEPT = {"every", "activeHours"}


def register(app: typer.Typer) -> None:
    app.command("import-openclaw")(import_openclaw)


def import_openclaw(
    file: Annotated[Path, typer.Argument(metavar="OPENCLAW_JSON", help="The gateway's configuration.")],
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Write there; it must not exist. Default: print.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a wake.toml from a gateway's openclaw.json: its agents, their cadence and active hours. Reads only; no token is copied.

    What is different here, or has to be done by hand, is listed on standard error.

    \b
    Examples:
      wake import-openclaw ~/.openclaw/openclaw.json
      wake import-openclaw ~/.openclaw/openclaw.json --output wake.toml
    """
    text, differs = imported(read_openclaw(file))
    if output is not None:
        _write(output, text)
    if as_json:
        document({"toml": text, "differs": differs})
    elif output is None:
        sys.stdout.write(text)
    if not as_json:
        complain("\n".join(f"differs: {line}" for line in differs))


def _write(output: Path, text: str) -> None:
    """Whole or not at all, and never over another file. Raises a usage error."""
    try:
        opened = output.open("x", encoding="utf-8")
    except FileExistsError:
        raise typer.BadParameter(f"{output} exists; name another file, or move it away", param_hint="--output") from None
    except OSError as error:
        raise _unwritable(output, error) from None
    try:
        with opened:
            opened.write(text)
    except OSError as error:
        output.unlink(missing_ok=True)
        raise _unwritable(output, error) from None


def _unwritable(output: Path, error: OSError) -> typer.BadParameter:
    return typer.BadParameter(f"{output}: {error.strerror or error}; name another file", param_hint="--output")


def imported(gateway: OpenClawFile) -> tuple[str, list[str]]:
    """The text of a wake.toml, and one line for each thing that is not as it was."""
    from dispatcher.config.starter import toml
    from dispatcher.core.session_key import AGENT_ID_RULE, valid_agent_id

    runner = {"type": "openclaw", "url": gateway.hooks_url(), "secret_file": TOKEN_FILE}
    lines = ["# From openclaw.json, by `wake import-openclaw`.", "[defaults]", f"runner = {toml(runner)}"]
    zone = gateway.table("agents", "defaults").get("userTimezone")
    if isinstance(zone, str):
        lines.append(f"user_timezone = {toml(zone)}")
    differs = [f"the token: write the value of hooks.token into {TOKEN_FILE} beside wake.toml, readable by you alone"]
    common, agents = gateway.table("agents", "defaults", "heartbeat"), gateway.agents()
    # As soon as one agent has a heartbeat of its own, the gateway runs only those.
    chosen = {name for name, entry in agents.items() if isinstance(entry.get("heartbeat"), dict)}
    for name, entry in agents.items():
        if not valid_agent_id(name):
            differs.append(f"agent {name!r}: is no agent id here ({AGENT_ID_RULE}); left out")
            continue
        own = entry.get("heartbeat")
        merged = common | (own if isinstance(own, dict) else {})
        lines += ["", f"[agents.{name.lower()}]", *_cadence(merged, name in chosen or not chosen, zone, name, differs)]
        if others := sorted(set(merged) - KEPT):
            differs.append(f"agent {name}: heartbeat {', '.join(others)} stay with the gateway and do not apply to turns from here")
    return "\n".join(lines) + "\n", differs + _beside(gateway)


def _cadence(heartbeat: Table, ticks: bool, zone: Any, name: str, differs: list[str]) -> list[str]:
    from dispatcher.config.starter import toml

    every = str(heartbeat.get("every", GATEWAY_EVERY)) if ticks else "0"
    lines = [f"every = {toml('0' if every.strip('0 smhd') == '' else every)}"]
    hours = heartbeat.get("activeHours")
    if isinstance(hours, dict) and isinstance(hours.get("start"), str) and isinstance(hours.get("end"), str):
        window = {"start": hours["start"], "end": hours["end"]}
        named = hours.get("timezone", "user")
        if named not in ("user", "local"):
            window["timezone"] = str(named)
        elif named == "local" or not isinstance(zone, str):
            differs.append(f"agent {name}: active hours follow the clock of the gateway's host: set user_timezone")
        lines.append(f"active_hours = {toml(window)}")
    return lines


def _beside(gateway: OpenClawFile) -> list[str]:
    found = [
        'cadence: both would tick; set heartbeat.every to "0m" in openclaw.json once this one runs',
        "outside active hours: completions wait for the window here and come as one turn; scheduled turns are skipped in both",
    ]
    if gateway.table("tools", "exec").get("notifyOnExit") is not False:
        found.append("tools.exec.notifyOnExit is on: each exec would wake its agent twice; set it to false")
    return [*found, "hooks and token: `wake doctor --openclaw FILE` says what is still missing"]
