"""Makes the pictures of docs/flower.md and docs/metrics.md from a live system: `make screenshots`. Needs Chromium."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S
from tests.support.watched import Watched

IMAGES = Path(__file__).parent / "images"
AGENTS = ("ops", "build", "hermit")
ROUNDS = 3


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="wk-") as folder:
        system = Watched(Path(folder))
        try:
            system.up()
            work(system)
            (heartbeat,) = [task for task in system.tasks("workers.heartbeat", "args:ops") if "'n': 3" in task["result"]]
            picture(system, "workers", "/workers", 1200, 640)
            picture(system, "tasks", "/tasks", 1500, 800)
            picture(system, "heartbeat", f"/task/{heartbeat['uuid']}", 1200, 900)
            picture(system, "queues", "/broker", 1200, 1230)
            picture(system, "metrics", f"http://127.0.0.1:{system.metrics_port}/metrics", 1000, 760)
        finally:
            system.close()


def work(system: Watched) -> None:
    """Heartbeats of every agent; one that fails first, one with three results at once, and a key that nobody owns."""
    system.plan("ops", seconds=0.8)
    system.plan("hermit", exits={"1": 1})
    for number in range(ROUNDS):
        for agent in AGENTS:
            system.producer.delay(session_key=f"agent:{agent}:main", exit_code=number, output="done")
    wait_until(lambda: system.store.ledger.balance().settled >= 1, PATIENCE_S, "the first heartbeat has ended")
    system.producer.delay(session_key="agent:ghost:main", exit_code=1, output="done")
    sent = ROUNDS * len(AGENTS)
    system.quiet(accepted=sent + 1, settled=sent, dead=1)
    shown = ("'n': 3", "'did': 'failed'")
    wait_until(
        lambda: all(any(word in (task["result"] or "") for task in system.tasks("workers.heartbeat")) for word in shown),
        PATIENCE_S,
        f"Flower shows {shown}",
    )


def picture(system: Watched, name: str, path: str, width: int, height: int) -> None:
    IMAGES.mkdir(exist_ok=True)
    system.browse(path, f"--window-size={width},{height}", f"--screenshot={IMAGES / name}.png")
    print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
