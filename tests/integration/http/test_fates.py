"""Asking where a completion is, and waiting for its end without a crowd of calls."""

from __future__ import annotations

import select
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S
from tests.support.ingress import Ingress, problem

ONE = {"completion_id": "c1", "session_key": "agent:ops:main", "exit_code": 1}


def looks(ingress: Ingress) -> int:
    """How often the server was asked for fates."""
    return int(ingress.store.client.info("commandstats").get("cmdstat_hmget", {}).get("calls", 0))


def test_a_fate_from_its_first_to_its_last(ingress: Ingress) -> None:
    assert problem(ingress.get("c1")) == "unknown-completion"
    ingress.post("completions", ONE)
    assert ingress.get("c1").body["fate"] == "accepted"
    ingress.route()
    pending = ingress.get("c1").body
    assert (pending["fate"], pending["final"], pending["agent_id"], pending["via"]) == ("pending", False, "ops", "session-key")
    ingress.settle()
    settled = ingress.get("c1").body
    assert (settled["fate"], settled["final"]) == ("settled", True)
    assert settled["detail"].endswith("|ran")


def test_it_is_told_to_whom_the_token_lets_report_for_it(ingress: Ingress) -> None:
    ingress.post("completions", ONE)
    ingress.route()
    answer = ingress.get("c1", token=ingress.token("research"))
    assert (answer.status, problem(answer)) == (403, "forbidden")


def test_a_wait_ends_with_the_completion(ingress: Ingress) -> None:
    """And those of a crowd share one look: waiting costs the server the same for twenty as for one."""
    ingress.post("completions", ONE)
    ingress.route()
    with ThreadPoolExecutor(20) as crowd:
        waiting = [crowd.submit(ingress.get, "c1", "?wait=settled&timeout_s=50") for _ in range(20)]
        before = looks(ingress)
        wait_until(lambda: looks(ingress) - before > 24, PATIENCE_S, "some looks were taken")
        assert not [answer for answer in waiting if answer.done()]
        ingress.settle()
        assert {answer.result().body["fate"] for answer in waiting} == {"settled"}
    assert looks(ingress) - before < 20 * 20, "each of them asked by itself"


def test_a_wait_ends_with_its_time(ingress: Ingress) -> None:
    ingress.post("completions", ONE)
    answer = ingress.get("c1", "?wait=settled&timeout_s=0.3")
    assert (answer.status, answer.body["fate"], answer.body["final"]) == (200, "accepted", False)


def test_a_wait_for_what_is_over_or_unknown_is_none(ingress: Ingress) -> None:
    ingress.post("completions", ONE | {"session_key": "node-x"})
    ingress.route()
    assert ingress.get("c1", "?wait=settled&timeout_s=50").body["fate"] == "dead"
    assert ingress.get("c2", "?wait=settled&timeout_s=50").status == 404


@pytest.mark.parametrize(
    "query",
    ["?wait=dead", "?wait=", "?wait=settled&timeout_s=x", "?timeout_s=-1", "?timeout_s=61", "?timeout_s=nan", "?timeout_s=1&timeout_s=2"],
)
def test_a_wait_that_makes_no_sense(ingress: Ingress, query: str) -> None:
    answer = ingress.get("c1", query)
    assert (answer.status, problem(answer)) == (422, "invalid")


def test_only_so_many_wait(start: Callable[..., Ingress]) -> None:
    """A client that has gone makes room for another."""
    ingress = start("max_waiting = 1").ready()
    ingress.post("completions", ONE)
    gone = ingress.connection()

    def ask() -> None:
        gone.request("GET", "/v1/completions/c1?wait=settled&timeout_s=60", headers={"Authorization": f"Bearer {ingress.token()}"})

    def refused() -> bool:
        return ingress.get("c1", "?wait=settled&timeout_s=0").status == 503

    def waits() -> bool:
        if select.select([gone.sock], [], [], 0)[0]:  # one of our own looks came before it, and took the only place
            gone.getresponse().read()
            ask()
        return ingress.get("c1", "?wait=settled&timeout_s=0.01").status == 503

    ask()
    wait_until(waits, PATIENCE_S, "one waits")
    answer = ingress.get("c1", "?wait=settled&timeout_s=0.01")
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert not refused(), "who does not wait is answered"
    gone.close()
    wait_until(lambda: ingress.get("c1", "?wait=settled&timeout_s=0.01").status == 200, PATIENCE_S, "its place is free")
