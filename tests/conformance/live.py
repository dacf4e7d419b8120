"""Multi-step vectors: the real scripts on a real server under a virtual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.conformance.vector import Unsupported, Vector


@contextmanager
def opened() -> Iterator[Callable[[Vector], list[str]]]:
    """A function from vector to the expectations that do not hold; what it needs lives as long as the context."""
    yield _run


def _run(vector: Vector) -> list[str]:
    raise Unsupported(f"{', '.join(sorted(vector.ops))}: no adapter to the scripts")
