"""`make bench`: this program beside plain Celery, interleaved in one run on one server. Writes bench/results/core.json and core.md."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery import Celery

from dispatcher.app import current_store, use_config
from dispatcher.embedded import EmbeddedServer
from dispatcher.store.connect import kombu_url

ROUNDS, CALLS, BURST, TURN_S = 5, 1_000, 2_000, 0.1
RESULTS = Path(__file__).parent / "results"
TOML = """
[defaults]
min_spacing_ms = 0
flood_starts = 0
runner = {{ type = "command", command = ["sleep", "{turn}"] }}
[routing]
unknown_agents = "accept"
"""


def rate(call: Callable[[int], object], calls: int = CALLS) -> float:
    """Calls per second."""
    started = time.perf_counter()
    for number in range(calls):
        call(number)
    return calls / (time.perf_counter() - started)


def publish_rates(url: str) -> dict[str, list[float]]:
    """`.delay()` here and in plain Celery, turn and turn about."""
    from dispatcher import exec_completed

    plain = Celery("plain", broker=kombu_url(url), set_as_current=False)
    plain.conf.task_ignore_result = True

    @plain.task(name="plain.task", shared=False)  # type: ignore[untyped-decorator]  # Celery ships no types
    def task(key: str, output: str) -> None:
        """Never run: only its publishing is measured."""

    ours = lambda n: exec_completed.delay(session_key=f"agent:a{n % 50}:main", exit_code=1, output="x" * 50)  # noqa: E731  # beside `theirs`
    theirs = lambda n: task.apply_async(kwargs={"key": f"a{n % 50}", "output": "x" * 50}, queue="plain")  # noqa: E731  # beside `ours`
    rates: dict[str, list[float]] = {"dispatcher": [], "celery": []}
    for _ in range(ROUNDS):
        rates["celery"].append(rate(theirs))
        rates["dispatcher"].append(rate(ours))
    return rates


def burst() -> dict[str, Any]:
    """One agent, a burst of completions, a heartbeat of 100 ms: how many heartbeats, and how long until all are settled."""
    from dispatcher import exec_completed

    ledger = current_store().ledger
    settled = lambda: ledger.balance().settled  # noqa: E731  # a word for the loop below
    before, started = settled(), time.perf_counter()
    last = [exec_completed.delay(session_key="agent:burst:main", exit_code=1) for _ in range(BURST)][-1]
    submitted_s = time.perf_counter() - started
    last.get(timeout=60)
    while settled() - before < BURST:
        time.sleep(0.02)
    total_s = time.perf_counter() - started
    beats = sum(record["what"] == "ran" for record in ledger.records("burst", newest=10_000))
    return {"completions": BURST, "heartbeats": beats, "submitting_s": round(submitted_s, 2), "until_settled_s": round(total_s, 2)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "wake.toml"
        config.write_text(TOML.format(turn=TURN_S))
        os.environ["WAKE_CONFIG"] = str(config)
        server = EmbeddedServer(use_config(str(config)).data_dir)
        workers = []
        try:
            url = server.start()
            current_store().inbox.prepare()
            rates = publish_rates(url)
            current_store().client.flushall()
            workers = [subprocess.Popen([sys.executable, "-P", "-m", "workers", "worker", *flags]) for flags in (["--route"], [])]
            while len(current_store().ledger.presences()) < len(workers):
                time.sleep(0.1)
            bursts = burst()
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(30)
            current_store().close()
            server.stop()
    write({"load_average": os.getloadavg(), "delay_per_second": rates, "burst": bursts})


def write(results: dict[str, Any]) -> None:
    ours, theirs = (statistics.median(results["delay_per_second"][name]) for name in ("dispatcher", "celery"))
    burst = results["burst"]
    text = f"""# Measured by `make bench`

Load average {results["load_average"][0]:.1f}; {ROUNDS} rounds of {CALLS} calls, interleaved; medians.

| what | this program | plain Celery | ratio |
|---|---|---|---|
| `.delay()` per second, one process | {ours:.0f} | {theirs:.0f} | {ours / theirs:.2f} |

A burst of {burst["completions"]} completions of one agent, {TURN_S * 1000:.0f} ms a heartbeat: {burst["heartbeats"]} heartbeats.
All settled {burst["until_settled_s"]} s after the first `.delay()`, of which {burst["submitting_s"]} s were spent submitting.
"""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "core.md").write_text(text)
    (RESULTS / "core.json").write_text(json.dumps(results, indent=1) + "\n")
    print(text)


main()
