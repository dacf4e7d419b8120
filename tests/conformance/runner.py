"""Runs vectors and keeps the score. Single-step vectors go to the pure functions, the others to `live`, a real server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance import live, single
from tests.conformance.vector import Unsupported, Vector, differences, read


@dataclass
class Score:
    """How the run stands. `lines` holds one line for each failing vector."""

    passed: int = 0
    failed: int = 0
    declared: int = 0
    lines: list[str] = field(default_factory=list)

    def fail(self, line: str) -> None:
        """Count one failure and keep its line."""
        self.failed += 1
        self.lines.append("FAIL " + " ".join(line.split()))

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.declared} declared"


class Runner:
    """Opens what a vector needs at its first use and closes it at the end: `with Runner() as runner`."""

    def __init__(self, declared: Mapping[str, str] | None = None) -> None:
        self.score = Score()
        self._declared = differences() if declared is None else declared
        self._stack = ExitStack()
        self._live: Callable[[Vector], list[str]] | None = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run_file(self, path: Path) -> None:
        """Every vector of a file; a file that cannot be read is one failure."""
        try:
            vectors = read(path)
        except (OSError, ValueError) as error:
            self.score.fail(f"{path}: {error}")
            return
        for vector in vectors:
            self.run(vector)

    def run(self, vector: Vector) -> None:
        """One vector. What the runner does not know and what crashes is a failure, declared or not."""
        label = f"{vector.area}: {vector.name}"
        try:
            problems = self.problems(vector)
        except Unsupported as error:
            self.score.fail(f"{label}: {error}")
        except Exception as error:  # noqa: BLE001 - a crash is the finding of this vector, the others still run
            self.score.fail(f"{label}: {type(error).__name__}: {error}")
        else:
            self._count(vector, label, problems)

    def problems(self, vector: Vector) -> list[str]:
        """The expectations of this vector that do not hold. Raises Unsupported for what nobody here knows."""
        if not vector.multi_step:
            return single.problems(vector)
        if self._live is None:
            self._live = self._stack.enter_context(live.opened())
        return self._live(vector)

    def _count(self, vector: Vector, label: str, problems: list[str]) -> None:
        if vector.name in self._declared:
            if problems:
                self.score.declared += 1
            else:
                self.score.fail(f"{label}: holds, although it is declared as a difference; remove it from the list")
        elif problems:
            self.score.fail(f"{label}: {'; '.join(problems)}")
        else:
            self.score.passed += 1
