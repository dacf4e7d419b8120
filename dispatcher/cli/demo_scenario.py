"""What the demo does: its agents, its commands, its burst, the configuration and the heartbeat script that it writes. Plain data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

BURST = 200
HEARD = "heard"  # folder of what the heartbeats received: one file per agent
OVERLAPS = "overlaps"
BOUND_KEY, UNBOUND_KEY = "node-mac", "node-lab"


@dataclass(frozen=True)
class DemoAgent:
    """One agent of the demo; `turn_s` is how long its heartbeat takes."""

    agent_id: str
    pool: str
    turn_s: float


@dataclass(frozen=True)
class DemoCommand:
    """One real command under `wake exec`. Without an owner it must become a dead letter with this reason."""

    title: str
    session_key: str
    words: tuple[str, ...]
    owner: str | None
    dead_reason: str | None = None


@dataclass(frozen=True)
class BurstCommand:
    """One short command of the burst."""

    session_key: str
    words: tuple[str, ...]
    owner: str


AGENTS = (
    DemoAgent("ops", "agents", 0.5),
    DemoAgent("build", "agents", 0.8),
    DemoAgent("data", "agents", 0.3),
    DemoAgent("research", "research", 1.0),
)


def _shell(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


COMMANDS = (
    DemoCommand("slow", "agent:ops:main", _shell("sleep 3; df -k . | tail -1"), "ops"),
    DemoCommand("slow, fails", "agent:build:main", _shell("sleep 2; echo '2 of 40 tests failed' >&2; exit 1"), "build"),
    DemoCommand("killed", "agent:data:main", _shell("echo 'half of the rows'; sleep 1; kill -9 $$"), "data"),
    DemoCommand("bound node", BOUND_KEY, _shell("sleep 1; uname -sm"), "research"),
    DemoCommand("unbound node", UNBOUND_KEY, ("date",), None, "unbound-key"),
    DemoCommand("fails", "agent:ops:deploy", ("ls", "/no/such/folder"), "ops"),
    DemoCommand("not found", "agent:build:main", ("no-such-compiler", "--version"), "build"),
    DemoCommand("unknown agent", "agent:ghost:main", ("date",), None, "unknown-agent"),
    DemoCommand("sorts", "agent:data:main", _shell("seq 200000 | sort -rn | head -1"), "data"),
    DemoCommand("slow", "agent:research:main", _shell("sleep 2; uname -a"), "research"),
)


def burst() -> Iterator[BurstCommand]:
    """Short commands of all agents, interleaved: most succeed, every fifth fails, every tenth is ended by a signal."""
    for number in range(BURST):
        agent = AGENTS[number % len(AGENTS)].agent_id
        words: tuple[str, ...] = ("echo", f"item {number} done")
        if number % 10 == 9:
            words = _shell(f"echo item {number} stopped half way; kill -TERM $$")
        elif number % 5 == 2:
            words = _shell(f"echo item {number} has faults; exit {number % 7 + 1}")
        yield BurstCommand(f"agent:{agent}:main", words, agent)


# The agent's name comes from the agent's own configuration ($1), not from the dispatcher: a heartbeat that was given another agent's
# completions shows them in the wrong file. The folder `$1.turn` exists during a turn: a second turn at the same time is noticed.
HEARTBEAT = """\
#!/bin/sh
# One turn of the agent $1, $2 seconds long: keeps the request that came on standard input.
mkdir "$1.turn" || echo "$1" >> overlaps
trap 'rmdir "$1.turn"' EXIT
trap 'exit 143' TERM
cat >> "$1.jsonl"
sleep "$2"
"""

_CONFIG = Template("""\
# Written by `wake demo`.
[redis]
data_dir = "data"            # no url: the embedded server, in this folder

[defaults]
min_spacing_ms = 1500        # default 30000, and 5 starts a minute: for turns that cost money; a demo must end
flood_starts = 0

[routing.bindings]
"$bound" = "research"        # "$unbound" is bound to nobody

[pools.agents]
partitions = 4
concurrency = 4

[pools.research]             # a queue and a worker of its own
agents = ["research"]
partitions = 1
concurrency = 1

[lease]
grace_ms = 3000
""")


def write(folder: Path) -> Path:
    """Writes the script and the configuration into the demo's folder. Returns the path of the configuration."""
    heard = folder / HEARD
    heard.mkdir()
    script = heard / "heartbeat.sh"
    script.write_text(HEARTBEAT, "utf-8")
    script.chmod(0o700)
    tables = [_CONFIG.substitute(bound=BOUND_KEY, unbound=UNBOUND_KEY)]
    for agent in AGENTS:
        words = json.dumps(["./heartbeat.sh", agent.agent_id, str(agent.turn_s)])
        tables.append(f'[agents.{agent.agent_id}]\nrunner = {{ type = "command", cwd = "{HEARD}", command = {words} }}\n')
    config = folder / "wake.toml"
    config.write_text("\n".join(tables), "utf-8")
    return config
