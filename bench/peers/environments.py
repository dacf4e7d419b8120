"""Where each peer runs: its module, its commands, and an environment of its own where it cannot share ours. What cannot be had is said."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".bench"
INSTALL_S = 240.0
SLOTS = 8
QUIET = ("--loglevel", "ERROR", "--without-gossip", "--without-mingle")


@dataclass(frozen=True)
class Peer:
    """`packages`: pip requirements of its own environment; none: ours. `work`: the words after `python -m` that start its worker."""

    name: str
    module: str
    work: tuple[str, ...]
    packages: tuple[str, ...] = ()
    coalesces: bool = True  # many completions, one heartbeat; else W1 takes a heartbeat for each

    @property
    def python(self) -> str:
        return str(PLACE / self.name / "bin" / "python") if self.packages else sys.executable


def celery_app(module: str) -> tuple[str, ...]:
    return ("celery", "--app", f"bench.peers.{module}", "worker", "--pool", "threads", "--concurrency", str(SLOTS), *QUIET)


WAKE = Peer("wake", "wake", ())
CELERY_PLAIN = Peer("celery", "celery_plain", celery_app("celery_plain"), coalesces=False)
PEERS = (
    WAKE,
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
)


def missing(peer: Peer) -> str | None:
    """Installs what the peer needs, once. Why it cannot be had, or None."""
    if not peer.packages:
        return None
    folder = PLACE / peer.name
    ready = folder / ".ready"
    if ready.exists() and ready.read_text() == " ".join(peer.packages):
        return None
    try:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=INSTALL_S)
        words = [peer.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.packages]
        subprocess.run(words, check=True, capture_output=True, timeout=INSTALL_S)
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", b"") or b""
        return f"not installed: {said.decode(errors='replace').strip().splitlines()[-1:] or error}"
    ready.write_text(" ".join(peer.packages))
    return None


def environment(**more: str) -> dict[str, str]:
    """Of every process: ours without what another configuration left there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WAKE_", "CELERY_", "BENCH_"))}
    return kept | {"PYTHONPATH": str(ROOT)} | more
