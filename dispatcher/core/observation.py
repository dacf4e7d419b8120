"""What a worker observes, as the fields under which it is counted. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from dispatcher.core.metric_table import BATCH_SIZE, SETTLE_DELAY, START_DELAY, bucket_of

SEP = "\x1f"


def field_of(name: str, *words: str) -> str:
    """The field of a metric, of a label of it, or of a bucket."""
    return SEP.join((name, *words))


def begun(accepted_at_ms: Iterable[int], now_ms: float) -> Counter[str]:
    """A batch started for the first time: how many, and how long each of them had waited."""
    waited_ms = [max(0, round(now_ms - at)) for at in accepted_at_ms]
    return Counter(dict(_spread(BATCH_SIZE, [len(waited_ms)], 1))) + Counter(dict(_spread(START_DELAY, waited_ms, 1000)))


def settled(accepted_at_ms: Iterable[int], now_ms: float) -> Counter[str]:
    """A batch was settled: how long each of its completions took."""
    return Counter(dict(_spread(SETTLE_DELAY, [max(0, round(now_ms - at)) for at in accepted_at_ms], 1000)))


def _spread(name: str, values: list[int], per_unit: int) -> Iterator[tuple[str, int]]:
    places = Counter(bucket_of(name, value / per_unit) for value in values)
    yield from ((field_of(name, "le", str(place)), count) for place, count in places.items())
    yield field_of(name, "sum"), sum(values)
