"""`python -m tests.fuzz.guided TARGET SECONDS FILE`: one target under atheris, which looks for inputs that reach new code.

Ends with an error at the first defect, and libFuzzer says the input. What came of the inputs is written to FILE.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any


def main(name: str, seconds: int, results: Path) -> None:
    atheris: Any = importlib.import_module("atheris")  # the extra `fuzz`; it has no types
    with atheris.instrument_imports(include=["dispatcher", "workers"]):
        targets = importlib.import_module("tests.fuzz.targets")
    ends: Counter[str] = Counter()
    slowest_s, ends_at = 0.0, time.monotonic() + seconds

    def feed(data: bytes) -> None:
        nonlocal slowest_s
        before = time.monotonic()
        end = targets.PURE[name](data)
        assert end, "refused without a reason"
        ends[end] += 1
        after = time.monotonic()
        slowest_s = max(slowest_s, after - before)
        if ends.total() % 200 == 0 or after > ends_at:
            results.write_text(json.dumps({"ends": ends, "slowest_ms": slowest_s * 1000}))

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(targets.SEEDS[name]):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], f"-max_total_time={seconds}", "-max_len=20000", "-timeout=10", "-rss_limit_mb=1024", corpus], feed)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
