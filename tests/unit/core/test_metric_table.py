"""One table of metrics, one of causes and alerts: what the documents show, what the names promise."""

from __future__ import annotations

import re
from itertools import pairwise

from dispatcher.core.cause_signals import SIGNALS
from dispatcher.core.cause_words import AGENT_CAUSES
from dispatcher.core.metric_table import BATCH_SIZE, BUCKETS, BY_NAME, METRICS, bucket_of
from dispatcher.core.observation import SEP, begun, field_of, settled
from tests.support.sources import ROOT

DOCUMENT = (ROOT / "docs" / "metrics.md").read_text("utf-8")
ALERTS = (ROOT / "examples" / "prometheus" / "alerts.yml").read_text("utf-8")


def test_the_document_shows_this_table_and_no_other() -> None:
    head = "| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|\n"
    rows = [
        f"| `{m.name}` | {m.kind} | {m.unit} | {', '.join(m.labels)} | {m.says}{' (`per_agent`)' if m.per_agent else ''} |" for m in METRICS
    ]
    assert head + "\n".join(rows) + "\n\n" in DOCUMENT


def test_the_document_shows_each_cause_with_its_series_and_its_alert() -> None:
    head = "| cause | series | alert |\n|---|---|---|\n"
    rows = [f"| `{cause}` | `{s.series}` | {f'`{s.alert}`' if s.alert else f'none: {s.calm}'} |" for cause, s in SIGNALS.items()]
    assert head + "\n".join(rows) + "\n\n" in DOCUMENT


def test_a_name_says_its_unit() -> None:
    """As Prometheus has it: seconds and ratios by suffix, `_total` for what only grows."""
    for metric in METRICS:
        assert re.fullmatch(r"wake_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric
        assert metric.name.endswith("_seconds") == (metric.unit == "seconds"), metric
        assert metric.name.endswith("_ratio") == (metric.unit == "ratio"), metric
        assert (metric.name in BUCKETS) == (metric.kind == "histogram"), metric
        assert ("agent" in metric.labels) == metric.per_agent, metric
    assert len(BY_NAME) == len(METRICS)


def test_every_cause_leads_to_a_series_and_to_an_alert_or_the_reason_why_not() -> None:
    assert list(SIGNALS) == list(AGENT_CAUSES)
    for cause, signal in SIGNALS.items():
        assert signal.series.partition("{")[0] in BY_NAME, cause
        assert bool(signal.alert) != bool(signal.calm), cause
        assert signal.alert is None or f"- alert: {signal.alert}\n" in ALERTS, cause


def test_every_alert_is_in_the_document() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS)
    assert len(alerts) == len(set(alerts)) > 15
    assert not [alert for alert in alerts if f"`{alert}`" not in DOCUMENT]
    assert not [rule for rule in re.findall(r"- record: (\S+)", ALERTS) if f"`{rule}`" not in DOCUMENT]


def test_buckets() -> None:
    for bounds in BUCKETS.values():
        assert all(lower < upper for lower, upper in pairwise(bounds))
    assert [bucket_of(BATCH_SIZE, size) for size in (0, 1, 1.5, 2, 5000, 5001)] == [0, 0, 1, 1, 9, 10]


def test_what_a_worker_observes() -> None:
    """Each completion in its bucket; a clock that went back counts as no time at all."""
    started = begun([10_000, 10_900, 12_000], 11_000.4)
    sizes, waits = BATCH_SIZE, "wake_start_delay_seconds"
    assert started == {
        field_of(sizes, "le", "2"): 1,
        field_of(sizes, "sum"): 3,
        field_of(waits, "le", "0"): 2,
        field_of(waits, "le", "3"): 1,
        field_of(waits, "sum"): 1_100,
    }
    ended = settled([0], 7_200_001)
    assert {name.split(SEP)[-1]: count for name, count in ended.items()} == {"12": 1, "sum": 7_200_001}


def test_dashboard_and_rules_ask_for_metrics_that_exist_with_labels_that_they_have() -> None:
    """Whether their queries find something is tried with a real Prometheus: tests/acceptance/test_monitoring.py."""
    dashboard = (ROOT / "examples" / "grafana" / "dashboard.json").read_text("utf-8")
    asked = re.findall(r"\b(wake_[a-z_]+)(?:\{([^}]*)\})?", dashboard.replace('\\"', '"') + ALERTS)
    for name, labels in asked:
        metric = BY_NAME.get(name) or BY_NAME[re.sub(r"_(bucket|sum|count)$", "", name)]
        assert set(re.findall(r"(\w+)=", labels)) <= {*metric.labels}, (name, labels)
    shown = {name for name, _ in asked}
    assert not [m.name for m in METRICS if not m.per_agent and not any(name.startswith(m.name) for name in shown)], "shown nowhere"
