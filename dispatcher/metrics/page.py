"""The page itself, in the form of Prometheus. Imported by who shows it only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from dispatcher.core.metric_table import BUCKETS, METRICS, Metric, Sample, Spread

Measure = Callable[[], Iterable[Sample | Spread]]


class StoreCollector(Collector):
    """Measures at each scrape. Every metric of the table is named, whether it has a value now or not."""

    def __init__(self, measure: Measure, *, per_agent: bool) -> None:
        self._measure, self._per_agent = measure, per_agent

    def describe(self) -> Iterable[Family]:
        """Nothing: to register must not measure."""
        return ()

    def collect(self) -> Iterator[Family]:
        families = {metric.name: _family(metric) for metric in METRICS if self._per_agent or not metric.per_agent}
        for found in self._measure():
            family = families[found.name]
            if isinstance(found, Spread) and isinstance(family, HistogramMetricFamily):
                bounds = [*(f"{bound:g}" for bound in BUCKETS[found.name]), "+Inf"]
                family.add_metric(found.labels, list(zip(bounds, accumulate(found.counts), strict=True)), found.total)
            elif isinstance(found, Sample) and isinstance(family, GaugeMetricFamily | CounterMetricFamily):
                family.add_metric(found.labels, found.value)
        yield from families.values()


def registry(measure: Measure, *, per_agent: bool) -> CollectorRegistry:
    """One of its own: what else a process counts is not ours to show."""
    own = CollectorRegistry()
    own.register(StoreCollector(measure, per_agent=per_agent))
    return own


def page(measure: Measure, *, per_agent: bool) -> str:
    """What a scrape gets."""
    return generate_latest(registry(measure, per_agent=per_agent)).decode()


def _family(metric: Metric) -> GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily:
    says = f"{metric.says[:1].upper()}{metric.says[1:]}"
    match metric.kind:
        case "gauge":
            return GaugeMetricFamily(metric.name, says, labels=metric.labels)
        case "counter":
            return CounterMetricFamily(metric.name, says, labels=metric.labels)
        case "histogram":
            return HistogramMetricFamily(metric.name, says, labels=metric.labels)
