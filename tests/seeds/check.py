"""`python -m tests.seeds.check [SEEDS] [FIRST]`: plays so many seeds; exit code 1 if one fails.

Writes bench/results/seeds.md and seeds.json. Two processes share the seeds, each with a server of its own.
A failing seed is told as its shortest story.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from dispatcher.store.scripts import scripts
from tests.seeds.seats import System
from tests.seeds.story import in_words, replay, run_seed, shortest
from tests.support.server import Server
from tests.support.sources import ROOT

RESULTS = ROOT / "bench" / "results"
SEEDS, PART, PARALLEL, TOLD = 2_000, 100, 2, 3


class Played(NamedTuple):
    """Some seeds. `words`: "step WORD" -> how often it was answered."""

    seeds: int
    acts: int
    words: Counter[str]
    stories: list[str]


def play_part(first: int, count: int) -> Played:
    logging.disable(logging.CRITICAL)  # the code under test says what it meets, and it meets a lot
    words: Counter[str] = Counter()
    acts, stories = 0, list[str]()
    with Server(appendfsync="no") as server:
        system = System(server.url)
        for seed in range(first, first + count):
            told = run_seed(system, seed)
            words.update(told.words)
            acts += len(told.acts)
            if told.wrong:
                less = shortest(system, told.acts) if len(stories) < TOLD else told.acts
                stories.append(in_words(seed, less, replay(system, less) or told.wrong))
        system.close()
    return Played(count, acts, words, stories)


def report(played: Played, seconds: float) -> str:
    """The result as Markdown."""
    steps = sum(played.words.values())
    pace = f"{seconds:.0f} s, {60 * played.seeds / seconds:.0f} seeds a minute in {PARALLEL} processes"
    lines = ["# Played by `python -m tests.seeds.check`", ""]
    lines += [f"{played.seeds} seeds, {played.acts} acts, {steps} calls of Lua steps ({pace}): {len(played.stories)} failed.", ""]
    lines += ["After every act the whole state was checked. How often each step gave which answer:", "", "| step | answers |", "|---|---|"]
    for step in sorted(scripts()):
        answers = sorted((word.split()[1], n) for word, n in played.words.items() if word.split()[0] == step)
        lines.append(f"| `{step}` | {', '.join(f'{word} {n}' for word, n in answers) or '**never called**'} |")
    return "\n".join([*lines, *(f"\n```\n{story}\n```" for story in played.stories)]) + "\n"


def main() -> int:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    start = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began = time.monotonic()
    firsts = range(start, start + seeds, PART)
    with ProcessPoolExecutor(PARALLEL) as pool:
        parts = list(pool.map(play_part, firsts, [min(PART, start + seeds - first) for first in firsts]))
    seconds = time.monotonic() - began
    words = sum((part.words for part in parts), Counter[str]())
    stories = [story for part in parts for story in part.stories]
    played = Played(sum(part.seeds for part in parts), sum(part.acts for part in parts), words, stories)
    text = report(played, seconds)
    (RESULTS / "seeds.md").write_text(text, "utf-8")
    figures = {"first": start, "seeds": played.seeds, "seconds": round(seconds, 1), "seeds_per_minute": round(60 * played.seeds / seconds)}
    figures |= {"acts": played.acts, "steps": sum(words.values()), "failures": len(stories)}
    (RESULTS / "seeds.json").write_text(json.dumps(figures | {"answers": dict(sorted(words.items()))}, indent=1) + "\n", "utf-8")
    print(text)
    return int(bool(stories))


if __name__ == "__main__":
    sys.exit(main())
