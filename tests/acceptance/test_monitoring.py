"""Alerts and dashboard with a real Prometheus: checked, tried one by one, and on the scrape of a live system."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dispatcher.core.cause_signals import SIGNALS
from dispatcher.core.cause_words import AGENT_CAUSES
from tests.integration.cli.conftest import wake
from tests.support.causes import BROUGHT_ABOUT, brought_about
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, ids
from tests.support.gateway_fixture import gateway
from tests.support.prometheus import ALERTS, Prometheus, dashboard_queries, prometheus, promtool
from tests.support.server import free_port
from tests.support.wake_cli import TOML, WakeCli

__all__ = ["gateway", "wake"]
pytestmark = pytest.mark.slow
GROWS = ("_lag_seconds", "_oldest_seconds")  # while nobody does anything about it
MINUTES = {"paused": 13 * 60}  # the most patient alert; the others have 100
HOUR_MS = 3_600_000
UNHEARD_OF = {"Alerts: {{alertname}}"}  # nothing is wrong yet


def test_promtool_is_content(wake: WakeCli) -> None:
    """With rules, their own tests, the example's configuration and the page."""
    assert "SUCCESS" in promtool("check", "rules", str(ALERTS))
    promtool("check", "config", str(ALERTS.parent / "prometheus.yml"))
    promtool("test", "rules", "alerts_test.yml", cwd=ALERTS.parent)
    wake.deposit("c1")
    wake.heartbeat()
    promtool("check", "metrics", stdin=wake.run("metrics").out)


def test_every_alert_has_its_own_test() -> None:
    tried = re.findall(r"^  - name: (\w+)$", (ALERTS.parent / "alerts_test.yml").read_text("utf-8"), re.MULTILINE)
    assert tried == re.findall(r"- alert: (\w+)", ALERTS.read_text("utf-8"))


def pages(wake: WakeCli) -> Iterator[tuple[str, str]]:
    """Each cause, and what is scraped while an agent is in it."""
    for cause in BROUGHT_ABOUT:
        wake.client.flushall()
        wake.configure(TOML)
        with brought_about(wake, cause):
            wake.settle_time()
            told_on_the_screen(wake, cause)
            yield cause, wake.run("metrics").out


def told_on_the_screen(wake: WakeCli, cause: str) -> None:
    """Its words up to the first that depends on the agent, however they are wrapped."""
    said = " ".join(wake.run("explain", "ops").out.split())
    words = AGENT_CAUSES[cause].says.partition("{")[0].strip() or AGENT_CAUSES[cause].says.rpartition("}")[2].strip()
    assert words in said, (cause, said)


def case(cause: str, page: str) -> dict[str, Any]:
    """What was scraped stays so for hours: the alert of the cause fires, and for one that is meant no alert at all."""
    series, minutes = [], MINUTES.get(cause, 100)
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = ",".join(f"{name}={json.dumps(word)}" for name, word in sample.labels.items())
            step = 60 if sample.name.endswith(GROWS) and sample.value > 0 else 0
            series.append({"series": f"{sample.name}{{{labels}}}", "values": f"{sample.value}+{step}x{minutes}"})
    alert = SIGNALS[cause].alert
    expected = [{"labels": "{}", "value": 1}] if alert else []
    which = f'alertname="{alert}", ' if alert else ""
    expression = f'clamp_max(count(ALERTS{{{which}alertstate="firing"}}), 1)'
    question = {"expr": expression, "eval_time": f"{minutes}m", "exp_samples": expected}
    return {"name": cause, "interval": "1m", "input_series": series, "promql_expr_test": [question]}


def test_from_each_cause_to_its_alert(wake: WakeCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brought about on a real server, scraped, and told by the rules as they are shipped."""
    cases = [case(cause, page) for cause, page in pages(wake)]
    monkeypatch.setenv("WAKE_REDIS_URL", "redis://127.0.0.1:1/0")
    told_on_the_screen(wake, "server-down")
    cases.append(case("server-down", wake.run("metrics").out))
    assert {found["name"] for found in cases} == set(SIGNALS)
    tests = tmp_path / "from_causes.yml"
    tests.write_text(json.dumps({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": cases}))
    promtool("test", "rules", str(tests))


def test_a_live_system(gateway: Gateway, tmp_path: Path) -> None:
    """Threads, forked children and two routers: every query of the dashboard finds something, and every rule is evaluated."""
    port = free_port()
    refusing = {"type": "command", "command": ["sh", "-c", "exit 10"]}
    agents = {"ops": {}, "spaced": {"min_spacing_ms": HOUR_MS}, "spared": {"precheck": refusing}, "forked": {}}
    pools = {"fork": {"agents": ["forked"], "pool_type": "prefork", "concurrency": 2, "partitions": 2}}
    gateway.configure(agents=agents, pools=pools, metrics={"port": port})
    router = gateway.start_router()
    gateway.start_worker()
    forking = gateway.start_worker("--pool", "fork")
    gateway.ready()
    router.hears("metrics: http://127.0.0.1:")
    for agent in agents:
        for completion_id in ids(agent, 3):
            gateway.submit(completion_id, session=f"agent:{agent}:main")
    gateway.submit("lost", session="node-x")
    with prometheus(tmp_path, [f"127.0.0.1:{port}"]) as monitor:
        for agent in ("ops", "forked"):
            gateway.submit(f"{agent}-late", session=f"agent:{agent}:main")
        gateway.submit("spaced-late", session="agent:spaced:main")
        queries = dashboard_queries()
        for title, expression in queries.items():
            if title not in UNHEARD_OF:
                wait_until(partial(monitor.query, expression), PATIENCE_S, f"{title}: {expression}")
        wait_until(lambda: number(monitor, 'wake_settle_delay_seconds_count{pool="fork"}') == 4, PATIENCE_S, "what the children settled")
        wait_until(lambda: number(monitor, "wake_balance") == 0, PATIENCE_S, "the books are read")
        assert monitor.query(queries["Alerts: {{alertname}}"]) == []
        forking.kill()
        gateway.submit("forked-last", session="agent:forked:main")
        wait_until(lambda: monitor.query('ALERTS{alertname="WakeNoWorker"}'), PATIENCE_S, "the rule sees that nobody serves")
        other = gateway.start_router()
        other.hears("another router may have it")
        router.kill()
        other.hears("metrics: http://127.0.0.1:")
        wait_until(lambda: number(monitor, "wake_routers") == 1, PATIENCE_S, "the other router serves the page")
    gateway.start_worker("--pool", "fork")
    wait_until(lambda: gateway.store.ledger.balance().settled == 15, PATIENCE_S, "all but the one that is spaced")


def number(monitor: Prometheus, expression: str) -> float | None:
    found = monitor.query(f"max({expression})")
    return float(found[0]["value"][1]) if found else None
