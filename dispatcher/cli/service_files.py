"""The files that make `wake up` a service: a systemd unit, a launchd property list. Every path in them is absolute."""

from __future__ import annotations

import plistlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dispatcher.core.exit_codes import USAGE

# `wake up` itself waits for grace_ms and 10 s more before it kills a worker, once for the workers and once for the router, then stops
# the server; only if all of that hangs may the service manager end it by force.
STOP_MARGIN_S = 40
RESTART_S = 2


@dataclass(frozen=True)
class Service:
    """What a unit says. `run_as` None: the user whose service manager it is."""

    name: str
    program: tuple[str, ...]
    folder: Path
    data_dir: Path
    path: str
    grace_ms: int
    run_as: str | None = None

    @property
    def stop_s(self) -> int:
        return -(-self.grace_ms // 1000) + STOP_MARGIN_S


def systemd_unit(service: Service) -> str:
    """The text of NAME.service."""
    lines = [
        "[Unit]",
        "Description=Wake Dispatcher: server, router and workers",
        "After=network-online.target",
        "Wants=network-online.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={' '.join(_quoted(word) for word in service.program)}",
        f"WorkingDirectory={_specifiers(str(service.folder))}",
        "# The PATH at the time of the installation: runners find their programs as you do.",
        f"Environment={_quoted(f'PATH={service.path}', dollars=False)}",
        *([f"User={service.run_as}"] if service.run_as else []),
        "Restart=always",
        f"RestartSec={RESTART_S}",
        "# An unusable configuration does not mend itself.",
        f"RestartPreventExitStatus={USAGE}",
        "",
        "# SIGTERM goes to the supervisor alone, which drains in order. What an agent left running on purpose (a long command under",
        "# `wake exec`) lives on, and reports when the service is back; any other KillMode would end it with the service.",
        "KillMode=process",
        f"# grace_ms = {service.grace_ms} and what the supervisor adds to it",
        f"TimeoutStopSec={service.stop_s}",
        "# One runner that needs too much memory does not end the others.",
        "OOMPolicy=continue",
        "",
        "# Runners have these limits too. Not here, because runners or the server's socket need it: PrivateTmp, ProtectHome,",
        "# ProtectSystem=strict, MemoryDenyWriteExecute. NoNewPrivileges keeps a runner from sudo; remove it if one needs that.",
        "NoNewPrivileges=yes",
        *_hardening(service),
        "",
        "[Install]",
        f"WantedBy={'multi-user.target' if service.run_as else 'default.target'}",
    ]
    return "\n".join(lines) + "\n"


def launchd_plist(service: Service) -> str:
    """The text of NAME.plist."""
    content: dict[str, Any] = {
        "Label": service.name,
        "ProgramArguments": list(service.program),
        "WorkingDirectory": str(service.folder),
        "EnvironmentVariables": {"PATH": service.path},
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 10,  # the least that launchd takes
        "ExitTimeOut": service.stop_s,
        "AbandonProcessGroup": True,  # long commands of agents outlive a restart, as with KillMode=process
        "ProcessType": "Standard",
        "StandardErrorPath": str(service.data_dir / "up.log"),
    }
    if service.run_as:
        content["UserName"] = service.run_as
    return plistlib.dumps(content).decode()


def _hardening(service: Service) -> list[str]:
    always = ["RestrictSUIDSGID=yes", "LockPersonality=yes"]
    if service.run_as is None:  # the rest needs rights that a user's service manager does not have
        return always
    return [*always, "ProtectSystem=full", "ProtectKernelTunables=yes", "ProtectKernelModules=yes", "ProtectControlGroups=yes"]


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str, *, dollars: bool = True) -> str:
    """A word as systemd reads it. In ExecStart a dollar would be a variable."""
    word = _specifiers(word).replace("\\", "\\\\").replace('"', '\\"')
    word = word.replace("$", "$$") if dollars else word
    return f'"{word}"' if set(word) & set(" \t'\"\\;") or not word else word
