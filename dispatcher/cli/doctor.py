"""`wake doctor`: whether what the dispatcher works with is sound. The store, or an OpenClaw gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatcher.cli.openclaw_file import OpenClawFile, read_openclaw
from dispatcher.cli.output import complain, document, say
from dispatcher.cli.reach import AsJson, ConfigFile, configuration
from dispatcher.cli.store_doctor import examine
from dispatcher.core.errors import ConfigError

if TYPE_CHECKING:
    from dispatcher.config import Config, OpenClawRunner

PROBE_S = 10.0


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Put right in the store what can be.")] = False,
    openclaw: Annotated[
        Path | None, typer.Option("--openclaw", metavar="OPENCLAW_JSON", help="Look at this gateway instead.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Find what contradicts itself in the store: indexes, leases, counters, keys that belong to nobody.

    With --fix it is put right where it is clear what is right; what begins with "lost" is not. Safe while everything runs.
    Of a server behind sentinels also: whether each answers, whether they could replace the primary, and whether a replica follows it; with
    wait_replicas: whether so many do.
    With --openclaw: check a gateway and the agents that wake.toml runs on it: every problem at once, each with its remedy. Changes nothing,
    wakes nobody.
    Exit codes: 0 nothing is wrong (any more), 1 something is.

    \b
    Examples:
      wake doctor --fix
      wake doctor --openclaw ~/.openclaw/openclaw.json
    """
    if openclaw is None:
        examine(config, fix=fix, as_json=as_json)
        return
    if fix:
        raise typer.BadParameter("--fix is for the store: what is wrong with a gateway is mended in its own configuration")
    loaded, gateway = configuration(config), read_openclaw(openclaw)
    runners = _runners(loaded)
    problems = [*_hooks(gateway, runners), *_execs(gateway), *_agents(gateway, runners), *_answers(runners)]
    if as_json:
        document({"ok": not problems, "agents": sorted(runners), "problems": problems})
    elif not problems:
        say(f"the gateway is ready for {', '.join(sorted(runners))}")
    else:
        complain("\n".join(f"doctor: {problem}" for problem in problems))
    if problems:
        raise typer.Exit(1)


def _runners(config: Config) -> dict[str, OpenClawRunner]:
    policies = {agent: config.agent(agent).runner for agent in config.known_ids()}
    return {agent: runner for agent, runner in policies.items() if runner is not None and runner.type == "openclaw"}


def _hooks(gateway: OpenClawFile, runners: dict[str, OpenClawRunner]) -> Iterator[str]:
    hooks, token = gateway.table("hooks"), gateway.table("hooks").get("token")
    prefixes, ids = _texts(hooks.get("allowedSessionKeyPrefixes")), hooks.get("allowedAgentIds")
    if hooks.get("enabled") is not True:
        yield "hooks.enabled is not true: set it, or no agent can be woken"
    if not token:
        yield "hooks.token is not set: make one with `openssl rand -hex 32`"
    elif token == gateway.table("gateway", "auth").get("token"):
        yield "hooks.token is the gateway's own token: make another one, this one opens everything"
    if hooks.get("allowRequestSessionKey") is not True:
        yield "hooks.allowRequestSessionKey is not true: a completion could not return to its session"
    if not any("agent:".startswith(prefix) for prefix in prefixes):
        yield 'hooks.allowedSessionKeyPrefixes has no "agent:": add it'
    if prefixes and "hook:" not in prefixes and not hooks.get("defaultSessionKey"):
        yield 'hooks.allowedSessionKeyPrefixes has no "hook:" and hooks.defaultSessionKey is unset: so no gateway starts; add "hook:"'
    if isinstance(ids, list) and "*" not in ids:
        for agent in sorted(set(runners) - {str(name).lower() for name in ids}):
            yield f"hooks.allowedAgentIds has no {agent!r}: add it"


def _execs(gateway: OpenClawFile) -> Iterator[str]:
    if gateway.table("tools", "exec").get("notifyOnExit") is not False:
        yield "tools.exec.notifyOnExit is not false: each background exec would wake its agent twice"
    for agent, entry in gateway.agents().items():
        if OpenClawFile(entry).table("tools", "exec").get("notifyOnExit") is True:
            yield f"agents.entries.{agent}.tools.exec.notifyOnExit is true: each of its background execs would wake it twice"
    if gateway.table("plugins", "entries", "wake-reporter").get("enabled") is not True:
        yield "plugins.entries.wake-reporter is not enabled: nothing reports the end of background execs; see examples/openclaw"


def _agents(gateway: OpenClawFile, runners: dict[str, OpenClawRunner]) -> Iterator[str]:
    if not runners:
        yield 'wake.toml runs no agent on a gateway: set runner = { type = "openclaw", … }, or begin with `wake import-openclaw`'
    for agent in sorted(set(runners) - {name.lower() for name in gateway.agents()}):
        yield f"agent {agent}: the gateway has none of this name; add agents.entries.{agent}, or remove [agents.{agent}]"


def _answers(runners: dict[str, OpenClawRunner]) -> Iterator[str]:
    """Asks each gateway once for a turn without a message: it checks the token first, and refuses the rest before anything begins."""
    asked: dict[str, str] = {}
    for agent, runner in sorted(runners.items()):
        if runner.url not in asked:
            asked[runner.url] = f"agent {agent}: {problem}" if (problem := _probe(runner)) else ""
    yield from filter(None, asked.values())


def _probe(runner: OpenClawRunner) -> str:
    import urllib3

    try:
        headers = {"Authorization": f"Bearer {runner.credential().lines()[0]}", "Content-Type": "application/json"}
    except ConfigError as error:
        return error.problems[0]
    address = f"{runner.url.rstrip('/')}/agent"
    try:
        with urllib3.PoolManager(ca_certs=runner.ca_file) as pool:
            status = pool.request("POST", address, body=b"{}", headers=headers, retries=False, redirect=False, timeout=PROBE_S).status
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        return f"{runner.url} cannot be reached ({type(error).__name__}): start the gateway, or correct `url` of the runner"
    if status == 400:
        return ""
    reasons: dict[int, str] = {
        401: "refuses the runner's token: it must be the value of hooks.token",
        404: "has no hooks: set hooks.enabled, and check hooks.path",
        429: "refuses for a while, after too many wrong tokens",
    }
    return f"{runner.url} {reasons.get(status, f'answers HTTP {status}, as no gateway does')}"


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
