"""One search: spin makes a C program of the model, the C compiler makes it run, and its words say what it found."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.model.cases import FOLDER, Configuration, properties

MEMORY_MB = 3_000
DEPTH = 1_000_000
LIMIT_S = 1_700  # for one search on a busy machine; each takes seconds to a minute on an idle one


class ToolMissing(Exception):
    """spin or a C compiler is not installed; the message says what to install."""


class Found(NamedTuple):
    """What a search found. `violation` is None if every state was visited and each property holds."""

    violation: str | None
    states: int
    depth: int
    seconds: float


def search(configuration: Configuration, switch: str = "") -> Found:
    """Searches all states, or up to the first violation. Raises ToolMissing, or RuntimeError if not all were visited."""
    for tool, package in (("spin", "spin"), ("cc", "gcc")):
        if shutil.which(tool) is None:
            raise ToolMissing(f"the model check needs {tool}: apt-get install {package} (Debian, Ubuntu), or `.ci/spin` as root")
    with tempfile.TemporaryDirectory(prefix="wake-model-") as place:
        folder = Path(place)
        for source in FOLDER.glob("*.pml"):
            shutil.copy(source, folder)
        sizes = [f"-D{size}" for size in [*configuration.sizes.split(), *([switch] if switch else [])]]
        _ran(["spin", "-a", *sizes, "wake.pml"], folder)
        mode = ["-DNFAIR=4"] if configuration.fair else ["-DSAFETY"]
        _ran(
            ["cc", "-O0" if switch else "-O1", "-w", "-DCOLLAPSE", "-DVECTORSZ=2048", f"-DMEMLIM={MEMORY_MB}", *mode, "-o", "pan", "pan.c"],
            folder,
        )
        started = time.monotonic()
        said = _ran(["./pan", f"-m{DEPTH}", "-n", *(["-a", "-f"] if configuration.fair else [])], folder)
        return _found(said, time.monotonic() - started)


def _ran(words: list[str], folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=LIMIT_S, check=False)
    if done.returncode or "Error:" in done.stdout:
        raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return done.stdout


def _found(said: str, seconds: float) -> Found:
    states = re.search(r"(\d+) states, stored", said)
    depth = re.search(r"depth reached (\d+), errors: (\d+)", said)
    if not states or not depth:
        raise RuntimeError(f"the search said:\n{said[-2000:]}")
    violation = _violation(said) if int(depth[2]) else None
    if violation is None and re.search(r"out of memory|max search depth too small|Search not completed", said):
        raise RuntimeError(f"the search was not exhaustive:\n{said[-2000:]}")
    return Found(violation, int(states[1]), int(depth[1]), round(seconds, 1))


def _violation(said: str) -> str:
    asserted = re.search(r"assertion violated \(+(\d+)==0\)", said)
    if asserted:
        return properties()[int(asserted[1])]
    if "acceptance cycle" in said:
        return "every mailbox with work is looked at in the end (liveness, weak fairness)"
    raise RuntimeError(f"the search found an error that is none of the properties:\n{said[-2000:]}")
