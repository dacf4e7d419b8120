"""Where each peer runs: its module, its commands, and an environment of its own where it cannot share ours. What cannot be had is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".bench"
INSTALL_S = 240.0
SLOTS = 8
QUIET = ("--loglevel", "ERROR", "--without-gossip", "--without-mingle")


@dataclass(frozen=True)
class Peer:
    """`packages`: what its own environment holds, for pip, or with `node` for npm; none: ours.

    `work`: the words that start its worker, after `python -m` or `node`.
    """

    name: str
    module: str
    work: tuple[str, ...]
    packages: tuple[str, ...] = ()
    coalesces: bool = True  # many completions, one heartbeat; else W1 takes a heartbeat for each
    node: bool = False
    batch: bool = False  # reports inside `with batch():`; nothing for W3, which waits after each

    @property
    def folder(self) -> Path:
        return PLACE / self.name

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python") if self.packages else sys.executable

    def worker(self) -> list[str]:
        """The command that runs what is submitted."""
        return self._run(*self.work)

    def submitter(self, asked: dict[str, Any]) -> list[str]:
        """The command that submits what is asked, as `submitting.run` has it."""
        return self._run(self.module if self.node else f"bench.peers.{self.module}", "submit", json.dumps(asked | {"batch": self.batch}))

    def _run(self, *words: str) -> list[str]:
        return ["node", *words] if self.node else [self.python, "-m", *words]

    def installs(self) -> list[list[str]]:
        """The commands that make its environment."""
        if self.node:
            return [["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(self.folder), *self.packages]]
        pip = [self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *self.packages]
        return [[sys.executable, "-m", "venv", str(self.folder)], pip]


def celery_app(module: str) -> tuple[str, ...]:
    return ("celery", "--app", f"bench.peers.{module}", "worker", "--pool", "threads", "--concurrency", str(SLOTS), *QUIET)


WAKE = Peer("wake", "wake", ())
CELERY_PLAIN = Peer("celery", "celery_plain", celery_app("celery_plain"), coalesces=False)
BULLMQ = str(Path(__file__).with_name("bullmq_list.js"))
PEERS = (
    WAKE,
    Peer("wake, batch()", "wake", (), batch=True),
    CELERY_PLAIN,
    Peer("celery-batches", "celery_batches", celery_app("celery_batches"), ("celery-batches>=0.11,<1", "celery[redis]<5.7")),
    Peer("docket", "docket_list", ("bench.peers.docket_list", "work"), ("pydocket>=0.27,<1",)),
    Peer(
        "dramatiq",
        "dramatiq_plain",
        ("dramatiq", "bench.peers.dramatiq_plain", "--processes", "1", "--threads", str(SLOTS), "--skip-logging"),
        ("dramatiq[redis]>=2,<3",),
        coalesces=False,
    ),
    Peer("rq", "rq_plain", ("rq.cli", "worker-pool", "--num-workers", str(SLOTS), "--quiet"), ("rq>=2.3,<3",), coalesces=False),
    Peer("bullmq", BULLMQ, (BULLMQ, "work"), ("bullmq@^6", "ioredis@^5"), node=True),
)


def missing(peer: Peer) -> str | None:
    """Installs what the peer needs, once. Why it cannot be had, or None."""
    if not peer.packages:
        return None
    if peer.node and (absent := [tool for tool in ("node", "npm") if not shutil.which(tool)]):
        return f"this machine has no {' and no '.join(absent)}"
    ready = peer.folder / ".ready"
    if ready.exists() and ready.read_text() == " ".join(peer.packages):
        return None
    peer.folder.mkdir(parents=True, exist_ok=True)
    try:
        for words in peer.installs():
            subprocess.run(words, check=True, capture_output=True, timeout=INSTALL_S)
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", b"") or b""
        return f"not installed: {said.decode(errors='replace').strip().splitlines()[-1:] or error}"
    ready.write_text(" ".join(peer.packages))
    return None


def environment(**more: str) -> dict[str, str]:
    """Of every process: ours without what another configuration left there; a script of Node finds its peer's packages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WAKE_", "CELERY_", "BENCH_"))}
    modules = os.pathsep.join(str(peer.folder / "node_modules") for peer in PEERS if peer.node)
    return kept | {"PYTHONPATH": str(ROOT), "NODE_PATH": modules} | more
