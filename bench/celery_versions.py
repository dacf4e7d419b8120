"""`python -m bench.celery_versions`: which pair of celery and kombu outlives a broker that restarts with messages in flight.

Installs each pair into a throw-away environment, runs this program's own workers there, and writes bench/results/celery_versions.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "bench" / "results" / "celery_versions.md"
PAIRS = (("5.6.3", "5.7.0"), ("5.7.0", "5.7.0"))
ROUNDS, SECONDS = 8, 60
FREE = re.compile(r"(celery|kombu|python-dateutil)==")  # celery 5.7.0 demands an older python-dateutil than the lock has


def measured(celery: str, kombu: str, folder: Path) -> dict[str, Any]:
    """The tally of one pair."""
    place = folder / f"celery-{celery}-kombu-{kombu}"
    venv.create(place, with_pip=True)
    python = str(place / "bin" / "python")
    lock = place / "constraints.txt"
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    lock.write_text("\n".join(line for line in lines if not FREE.match(line)))
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    others = [item for item in wanted if not item.startswith(("celery", "kombu"))]
    pair = [f"celery=={celery}", f"kombu[redis]=={kombu}"]
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--constraint", str(lock), *pair, *others], check=True)
    words = [python, "-P", "-m", "tests.support.broker_restarts", str(ROUNDS), str(SECONDS)]
    done = subprocess.run(words, cwd=ROOT, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=True)
    tally: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return tally


def page(tallies: list[dict[str, Any]]) -> str:
    """The figures, as Markdown."""
    rows = "\n".join(
        f"| {t['celery']} | {t['kombu']} | {t['rounds']} | {t['hit']} | {t['died']} | {t['accepted']} | {t['lost']} | {t['seconds']:.0f} |"
        for t in tallies
    )
    return f"""# Celery and kombu under a broker that restarts

One router and two workers of this program; in each round 40 completions and 400 doorbells for 8 agents, and in the middle of their
heartbeats the server is stopped (SIGTERM, SIGKILL in turn) and started again on its data. Workers that died were started again.

| celery | kombu | rounds | rounds in which a worker died | worker processes that died | completions accepted | lost | seconds |
|---|---|---|---|---|---|---|---|
{rows}

Measured {datetime.now(UTC):%Y-%m-%d} with Python {sys.version_info.major}.{sys.version_info.minor} by
`python -m bench.celery_versions`. The first pair is the pinned one; `tests/acceptance/celery/test_versions.py` keeps it so.
Few rounds: a 0 says that it was not seen, not that it cannot be.
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wk-versions-") as folder:
        tallies = [measured(celery, kombu, Path(folder)) for celery, kombu in PAIRS]
    RESULT.write_text(page(tallies))
    print(RESULT.read_text())


if __name__ == "__main__":
    main()
