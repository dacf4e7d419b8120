"""systemd units as text: by their form everywhere, by systemd itself where it is installed."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
from pathlib import Path

# What ours may say. A key that is misspelt is ignored by systemd with a line in the journal.
KEYS = {
    "Unit": {"Description", "After", "Wants", "StartLimitIntervalSec"},
    "Service": {
        *("Type", "ExecStart", "WorkingDirectory", "Environment", "User", "Restart", "RestartSec", "RestartPreventExitStatus"),
        *("SuccessExitStatus", "KillMode", "TimeoutStopSec", "OOMPolicy", "NoNewPrivileges", "RestrictSUIDSGID", "LockPersonality"),
        *("ProtectSystem", "ProtectKernelTunables", "ProtectKernelModules", "ProtectControlGroups"),
    },
    "Timer": {"OnBootSec", "OnUnitActiveSec", "AccuracySec"},
    "Install": {"WantedBy"},
}


def parsed(text: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep the case of names
    unit.read_string(text)
    return unit


def check_form(text: str) -> None:
    unit = parsed(text)
    for name in unit.sections():
        assert set(unit[name]) <= KEYS[name], f"[{name}] has {set(unit[name]) - KEYS[name]}"
        assert all(value.strip() and "\n" not in value for value in unit[name].values())


def verify(text: str, folder: Path, *, user: bool, name: str = "checked.service") -> None:
    """Other units of the folder may be named in it."""
    check_form(text)
    if analyze := shutil.which("systemd-analyze"):
        (folder / name).write_text(text)
        line = [analyze, "verify", *(["--user"] if user else []), str(folder / name.replace("@.", "@1."))]
        env = os.environ | {"XDG_RUNTIME_DIR": str(folder)}
        done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=200, check=False)
        assert (done.returncode, done.stderr) == (0, "")
