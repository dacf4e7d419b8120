"""The page of metrics on a real server: from each cause of `wake explain` to its words, and to its series."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dispatcher.core.cause_signals import SIGNALS
from dispatcher.core.cause_words import AGENT_CAUSES
from dispatcher.core.metric_table import METRICS
from dispatcher.submit import completion_of, submission_of
from tests.support.causes import BROUGHT_ABOUT, brought_about
from tests.support.wake_cli import TOML, WakeCli

Labels = dict[str, str]


def scraped(wake: WakeCli, code: int = 0) -> dict[str, list[tuple[Labels, float]]]:
    """Series by name."""
    done = wake.run("metrics")
    assert done.code == code, done
    found: dict[str, list[tuple[Labels, float]]] = {}
    for family in text_string_to_metric_families(done.out):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


@pytest.mark.parametrize("cause", BROUGHT_ABOUT)
def test_a_cause_is_told_in_words_and_by_its_series(wake: WakeCli, cause: str) -> None:
    with brought_about(wake, cause):
        told = wake.json("explain", "ops")
        assert told["cause"] == cause, told
        series = scraped(wake)
    assert told["says"].startswith(AGENT_CAUSES[cause].says.partition("{")[0])
    name, _, label = SIGNALS[cause].series.partition("{")
    if label:
        assert series[name] == [({"pool": "agents", "cause": cause}, 1.0)]
    elif cause in ("no-router", "nothing-waiting"):
        assert {number for _, number in series[name]} == {0.0}
    else:
        assert max(number for _, number in series[name]) > 0


def test_no_server(wake: WakeCli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is there all the same, and says so; nothing on it is from before."""
    monkeypatch.setenv("WAKE_REDIS_URL", "redis://127.0.0.1:1/0")
    assert wake.run("explain", "ops", "--json").document["cause"] == "server-down"
    assert scraped(wake, 75) == {"wake_store_up": [({}, 0.0)]}
    assert wake.run("metrics", "--json").document == [{"name": "wake_store_up", "labels": {}, "value": 0}]


def test_every_cause_is_brought_about_here() -> None:
    assert set(AGENT_CAUSES) == {*BROUGHT_ABOUT, "server-down"}


def test_what_lies_in_the_store(wake: WakeCli) -> None:
    wake.deposit("c0")
    wake.heartbeat()
    for completion_id in ("c1", "c2"):
        wake.deposit(completion_id)
    wake.deposit("quiet", "agent:ops:main", "--exit-code", "0")
    wake.deposit("lost", "node-x")
    wake.deposit("bad", "agent:research:main")
    wake.bury("research")
    wake.submit("c3")
    wake.settle_time()
    found = {
        name: {tuple(word for _, word in sorted(labels.items())): number for labels, number in series}
        for name, series in scraped(wake).items()
    }
    assert found["wake_completions_accepted_total"] == {(): 7}
    assert found["wake_completions_settled_total"] == {("agents",): 1, ("quiet",): 0}
    assert found["wake_completions_suppressed_total"] == {("",): 0, ("agents",): 1, ("quiet",): 0}
    assert found["wake_dead_lettered_total"] == {("", "unbound-key"): 1, ("agents", "attempts-exhausted"): 1}
    assert found["wake_heartbeats_total"] == {("failed", "agents"): 1, ("ran", "agents"): 1}
    assert (found["wake_dead_letters"], found["wake_inbox_depth"], found["wake_balance"]) == ({(): 2}, {(): 1}, {(): 0})
    assert found["wake_mailbox_depth"] == {("agents",): 2}
    assert found["wake_agents_with_work"] == {("agents",): 1, ("quiet",): 0}
    for name in ("wake_inbox_lag_seconds", "wake_mailbox_oldest_seconds", "wake_due_lag_seconds"):
        assert 0 < max(found[name].values()) < 200, name
    assert not [name for name in found if name.startswith("wake_agent_")]


def test_single_agents_only_when_they_are_asked_for(wake: WakeCli) -> None:
    wake.configure(TOML.replace("window_ms = 0", "window_ms = 0\nbudget_per_day = 4") + "[metrics]\nper_agent = true\n")
    wake.deposit("c0")
    wake.heartbeat()
    wake.deposit("c1")
    series = scraped(wake)
    ops = {"pool": "agents", "agent": "ops"}
    assert series["wake_agent_mailbox_depth"] == [(ops, 1.0)]
    assert series["wake_agent_budget_used_ratio"] == [(ops, 0.25)]
    assert series["wake_budget_used_ratio"] == [({"pool": "agents"}, 0.25)]
    assert series["wake_agent_mailbox_oldest_seconds"][0][1] >= 0


def test_a_scrape_looks_at_so_many_agents_and_says_how_many_it_left_out(wake: WakeCli) -> None:
    """Those that are due the longest are explained; the wakes of ten times as many are counted."""
    agents = [f"a{n:02d}" for n in range(13)]
    wake.configure(TOML + "".join(f"[agents.{agent}]\n" for agent in agents) + "[metrics]\nmax_agents = 1\nper_agent = true\n")
    for together in (agents[:1], agents[1:]):
        words = [{"completion_id": agent, "session_key": f"agent:{agent}:main", "exit_code": 1} for agent in together]
        wake.store.inbox.submit_all([submission_of(completion_of(one)) for one in words])
        wake.route()
        wake.settle_time()
    series = scraped(wake)
    assert [labels["agent"] for labels, _ in series["wake_agent_mailbox_depth"]] == ["a00"]
    assert series["wake_agents"] == [({"pool": "agents", "cause": "no-worker"}, 1.0)]
    told = {name: number for name, found in series.items() for labels, number in found if labels == {"pool": "agents"}}
    assert [told[f"wake_{name}"] for name in ("agents_with_work", "agents_unmeasured", "mailbox_depth")] == [13, 12, 10]
    assert "wake_balance" not in series, "the books of so many are not read at a scrape"


def test_unsound_data_of_one_agent_hides_no_other(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.deposit("c2", "agent:research:main")
    wake.client.delete(wake.store.keys.agent("agents", "research")["mailbox"])
    wake.client.set(wake.store.keys.agent("agents", "research")["mailbox"], "not a zset")
    series = scraped(wake)
    assert series["wake_mailbox_depth"] == [({"pool": "agents"}, 1.0)]
    assert series["wake_agents"] == [({"pool": "agents", "cause": "no-worker"}, 1.0)]


def test_the_page_names_every_metric_whether_it_has_a_value_or_not(wake: WakeCli) -> None:
    text = wake.run("metrics").out
    for metric in METRICS:
        name = metric.name.removesuffix("_total")
        kind = "counter" if metric.kind == "counter" else metric.kind
        assert (f"# TYPE {metric.name if kind == 'counter' else name} {kind}\n" in text) != metric.per_agent, metric
