"""A real OpenClaw gateway: the npm package, on loopback, with its state in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import urllib3

from tests.support.gates import wait_until
from tests.support.node import node, npm
from tests.support.sources import ROOT

RELEASE = "2026.9.6"
HOOK_TOKEN = "hook-token-of-the-test"
AGENTS = ("ops", "build", "data", "lab")
START_S = 400.0
INSTALL_S = 540.0


def install(folder: Path) -> str | None:
    """Puts the package into `folder`, which may have it already. Returns why it cannot, None when it is there."""
    if (folder / "node_modules/openclaw/openclaw.mjs").exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    words = [*npm(), "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), f"openclaw@{RELEASE}"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"npm could not install openclaw: {type(error).__name__}"
    return None if done.returncode == 0 else f"npm could not install openclaw: {done.stderr.strip()[-300:]}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """Starts, is killed and starts again on the same port and state. `notify` leaves the gateway's own completion turns on."""

    def __init__(self, package: Path, folder: Path, model_base: str, *, ingress: str | None, token_file: Path | None, notify: bool) -> None:
        self.folder, self._package = folder, package / "node_modules/openclaw/openclaw.mjs"
        self.port, self.log = free_port(), folder / "gateway.log"
        self.hooks = f"http://127.0.0.1:{self.port}/hooks"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "openclaw.json").write_text(json.dumps(self._config(model_base, ingress, token_file, notify), indent=1))
        self.process: subprocess.Popen[bytes] | None = None

    def _config(self, model_base: str, ingress: str | None, token_file: Path | None, notify: bool) -> dict[str, Any]:
        model = {"id": "stand-in", "name": "Stand-in", "reasoning": False, "input": ["text"], "contextWindow": 200_000, "maxTokens": 4_000}
        config: dict[str, Any] = {
            "gateway": {
                "mode": "local",
                "bind": "loopback",
                "port": self.port,
                "auth": {"mode": "token", "token": "gateway-token-of-the-test"},
            },
            "hooks": {
                "enabled": True,
                "token": HOOK_TOKEN,
                "path": "/hooks",
                "allowRequestSessionKey": True,
                "allowedSessionKeyPrefixes": ["agent:", "hook:"],
                "allowedAgentIds": list(AGENTS),
            },
            "agents": {
                "defaults": {
                    "model": {"primary": "standin/stand-in"},
                    "heartbeat": {"every": "0m" if not notify else "30m"},
                    "skipBootstrap": True,
                    "workspace": str(self.folder / "workspace"),
                },
                "entries": {agent: {"workspace": str(self.folder / agent)} for agent in AGENTS},
            },
            "models": {
                "mode": "replace",
                "providers": {"standin": {"baseUrl": model_base, "apiKey": "none", "api": "openai-completions", "models": [model]}},
            },
            "tools": {"toolSearch": False, "exec": {"host": "gateway", "mode": "full", "notifyOnExit": notify}},
        }
        if ingress is not None:
            settings = {"url": ingress, "tokenFile": str(token_file), "spool": str(self.folder / "spool")}
            config["plugins"] = {
                "load": {"paths": [str(ROOT / "examples/openclaw/plugin")]},
                "entries": {"wake-reporter": {"enabled": True, "config": settings}},
            }
        return config

    def start(self) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("OPENCLAW")}
        env |= {
            "HOME": str(self.folder),
            "OPENCLAW_STATE_DIR": str(self.folder / "state"),
            "OPENCLAW_CONFIG_PATH": str(self.folder / "openclaw.json"),
            "PATH": f"{Path(node()).parent}:{env['PATH']}",
        }
        words = [node(), str(self._package), "gateway", "run"]

        def answers() -> bool:
            # On a busy machine it may give up by itself: it grants its own threads 5 s to start.
            if self.process is None or self.process.poll() is not None:
                with self.log.open("ab") as out:
                    self.process = subprocess.Popen(
                        words, env=env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
                    )
            return self._answers()

        wait_until(answers, START_S, f"the gateway answers; {self.log} says what it does", every_s=0.5)

    def _answers(self) -> bool:
        try:
            return urllib3.request("POST", f"{self.hooks}/agent", json={}, headers=self._auth(), retries=False, timeout=5).status == 400
        except urllib3.exceptions.HTTPError:
            return False

    def _auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {HOOK_TOKEN}"}

    def ask(self, agent: str, message: str) -> dict[str, Any]:
        """One turn of an agent, as a person would cause it; returns when it is over."""
        body = {"agentId": agent, "sessionKey": f"agent:{agent}:main", "sessionMode": "persistent", "deliver": False}
        whole = {**body, "waitForCompletion": True, "message": message}
        headers = {**self._auth(), "Idempotency-Key": message}

        def asked() -> dict[str, Any] | None:
            try:
                answer = urllib3.request("POST", f"{self.hooks}/agent", json=whole, headers=headers, retries=False, timeout=300)
            except urllib3.exceptions.HTTPError:
                return None
            said: dict[str, Any] = answer.json()
            assert answer.status in (200, 502, 503), said
            # 503: a cold session on a slow machine, taken back after 15 s; 502: the model did not answer its probe within 2.5 s.
            return said if answer.status == 200 else None

        found = wait_until(asked, 300, f"a turn of {agent}", every_s=1.0)
        assert found is not None
        return found

    def kill(self) -> None:
        """SIGKILL to the gateway alone; its execs live on."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            self.process.wait()
