"""Handing in over HTTP: durable before it is answered, once, for an agent that the token covers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.ingress import Ingress, problem

ONE = {"completion_id": "c1", "session_key": "agent:ops:main", "exit_code": 1, "output": "2 failed"}


def test_one_completion_is_durable_when_it_is_answered(ingress: Ingress) -> None:
    answer = ingress.post("completions", ONE)
    assert (answer.status, answer.headers["location"]) == (202, "/v1/completions/c1")
    assert (answer.body["completion_id"], answer.body["duplicate"]) == ("c1", False)
    assert ingress.store.ledger.inbox_depth() == 1
    again = ingress.post("completions", ONE)
    assert (again.status, again.body) == (200, answer.body | {"duplicate": True})
    ingress.route()
    assert ingress.settle() == ["c1"]


def test_an_id_is_made_up_and_leads_to_its_fate(ingress: Ingress) -> None:
    answer = ingress.post("completions", {"session_key": "agent:ops:main", "exit_code": 0, "output": "x"})
    fate = ingress.ask("GET", answer.headers["location"])
    assert (fate.status, fate.body["completion_id"], fate.body["fate"]) == (200, answer.body["completion_id"], "accepted")


@pytest.mark.parametrize("completion_id", ["a/b", "a%2Fb", "?x=1#y", "../../etc", '"<>&'])
def test_an_id_of_any_letters_has_a_place(ingress: Ingress, completion_id: str) -> None:
    answer = ingress.post("completions", ONE | {"completion_id": completion_id})
    assert answer.status == 202
    assert ingress.ask("GET", answer.headers["location"]).body["completion_id"] == completion_id


def test_the_same_id_with_another_payload_is_a_conflict(ingress: Ingress) -> None:
    ingress.post("completions", ONE)
    answer = ingress.post("completions", ONE | {"exit_code": 2})
    assert (answer.status, problem(answer), answer.body["completion_id"]) == (409, "id-conflict", "c1")
    assert ingress.store.ledger.inbox_depth() == 1


@pytest.mark.parametrize("key", ["agent:research:main", "node-lab", "Agent:RESEARCH:x"])
def test_an_owner_that_the_token_does_not_cover_is_forbidden(ingress: Ingress, key: str) -> None:
    """The owner counts, not the key: a bound one is its agent's. Nothing was written."""
    answer = ingress.post("completions", ONE | {"session_key": key})
    assert (answer.status, problem(answer)) == (403, "forbidden")
    assert "agent=research" in answer.body["detail"]
    assert ingress.store.ledger.inbox_depth() == 0
    assert ingress.post("completions", ONE | {"session_key": key}, token=ingress.token("rese*")).status == 202


def test_what_nobody_owns_is_accepted_and_set_aside(ingress: Ingress) -> None:
    assert ingress.post("completions", ONE | {"session_key": "node-x"}).status == 202
    ingress.route()
    fate = ingress.get("c1")
    assert (fate.body["fate"], fate.body["final"], fate.body["detail"]) == ("dead", True, "unbound-key")


@pytest.mark.parametrize("words", [{"session_key": "agent:ghost:main"}, {"session_key": "node-x", "agent_id": "ghost"}])
def test_an_agent_that_there_is_not_yet_is_not_covered_either(ingress: Ingress, words: dict[str, Any]) -> None:
    """There may be one when somebody revives it."""
    assert ingress.post("completions", ONE | words).status == 403
    assert ingress.post("completions", ONE | words, token=ingress.token("ghost")).status == 202
    ingress.route()
    assert ingress.get("c1").body["detail"] == "unknown-agent"


def test_a_binding_that_changes_in_between_is_asked_about_again(ingress: Ingress) -> None:
    """The router has the last word: the token went with the completion."""
    ingress.post("completions", ONE | {"session_key": "node-x"})
    ingress.store.bindings.bind("node-x", "research")
    ingress.route()
    assert ingress.get("c1").body["detail"] == "forbidden"


@pytest.mark.parametrize("words", [{"token": "forged"}, {"token": 5}])
def test_a_token_in_the_body_is_not_heard(ingress: Ingress, words: dict[str, Any]) -> None:
    assert ingress.post("completions", ONE | words).status == 202
    ingress.route()
    assert ingress.get("c1").body["fate"] == "pending"


@pytest.mark.parametrize("make", ["none", "nonsense", "expired", "other key", "scheme"])
def test_without_a_valid_token_nothing_is_read(ingress: Ingress, make: str) -> None:
    tokens = {
        "none": None,
        "nonsense": "a.b.c",
        "expired": ingress.token(ttl_s=60, ago_s=3600),
        "other key": ingress.token()[:-6] + "AAAAAA",
    }
    headers = {"Authorization": f"Basic {ingress.token()}"} if make == "scheme" else {}
    for method, path, body in (("POST", "/v1/completions", "{"), ("POST", "/v1/wakes", "{"), ("GET", "/v1/completions/c1", None)):
        answer = ingress.ask(method, path, body, token=tokens.get(make), headers=headers)
        assert (answer.status, problem(answer)) == (401, "token-refused")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ("", 400, "not-json"),
        ("{", 400, "not-json"),
        ('{"x": NaN}', 400, "not-json"),
        ('{"command": "\\ud800"}', 400, "not-json"),
        (b'{"command": "\xff"}', 400, "not-json"),
        ("[" * 100_000, 400, "not-json"),
        ("[]", 422, "invalid"),
        ({"exit_code": "1"}, 422, "invalid"),
        ({"completion_id": "a b"}, 422, "invalid"),
        ({"completion_id": ""}, 422, "invalid"),
        ({"session_key": "k" * 600}, 422, "invalid"),
        ({"session_key": "a\x07"}, 422, "invalid"),
        ({"kind": "wake"}, 422, "invalid"),
        ({"v": 0}, 422, "invalid"),
        ({"completions": []}, 422, "invalid"),
        ({"completions": {}}, 422, "invalid"),
        ({"completions": [{}] * 201}, 422, "invalid"),
        ({"completions": [{}], "more": 1}, 422, "invalid"),
        ('{"x": 1' + "0" * 5000 + "}", 400, "not-json"),
    ],
)
def test_what_is_no_completion(ingress: Ingress, body: Any, status: int, word: str) -> None:
    answer = ingress.post("completions", body)
    assert (answer.status, problem(answer)) == (status, word)
    assert ingress.store.ledger.inbox_depth() == 0


def test_a_batch_has_a_result_for_each_in_order(ingress: Ingress) -> None:
    ingress.post("completions", ONE)
    wanted = [
        ONE,
        ONE | {"completion_id": "c2"},
        ONE | {"exit_code": 9},
        ONE | {"completion_id": "c3", "session_key": "agent:research:main"},
        {"exit_code": "x"},
        5,
        {"completions": []},
        ONE | {"completion_id": "c2"},
    ]
    answer = ingress.post("completions", {"completions": wanted})
    assert answer.status == 207
    results = answer.body["results"]
    assert [result["status"] for result in results] == [200, 202, 409, 403, 422, 422, 422, 200]
    assert [result["accepted"]["completion_id"] for result in results if "accepted" in result] == ["c1", "c2", "c2"]
    assert results[2]["problem"]["completion_id"] == "c1"
    assert ingress.store.ledger.inbox_depth() == 2


def test_the_status_of_a_batch_is_that_of_all_its_parts(ingress: Ingress) -> None:
    batch = {"completions": [ONE | {"completion_id": f"c{n}"} for n in range(3)]}
    assert ingress.post("completions", batch).status == 202
    assert ingress.post("completions", batch).status == 200
    more = {"completions": [*batch["completions"], ONE | {"completion_id": "new"}]}
    assert ingress.post("completions", more).status == 202
    refused = {"completions": [ONE | {"completion_id": "c0", "exit_code": 7}]}
    answer = ingress.post("completions", refused)
    assert (answer.status, answer.body["results"][0]["status"]) == (409, 409)


def test_a_wake_is_asked_for_with_a_scope_of_its_own(ingress: Ingress) -> None:
    wanted = {"wake_id": "w1", "agent_id": "ops", "text": "look", "intent": "immediate"}
    answer = ingress.post("wakes", wanted, token=ingress.token("ops"))
    assert (answer.status, problem(answer)) == (403, "forbidden")
    answer = ingress.post("wakes", wanted)
    assert (answer.status, answer.body["wake_id"], answer.headers["location"]) == (202, "w1", "/v1/completions/w1")
    assert ingress.post("wakes", wanted).status == 200
    ingress.route()
    assert ingress.bells.rung == [("ops", "agents")]
    assert ingress.settle() == ["w1"]
    assert ingress.get("w1").body["fate"] == "settled"


@pytest.mark.parametrize("words", [{"intent": "scheduled"}, {"source": "nobody"}, {"wake_id": {}}, {"text": 5}])
def test_what_is_no_wake(ingress: Ingress, words: dict[str, Any]) -> None:
    answer = ingress.post("wakes", {"agent_id": "ops"} | words)
    assert (answer.status, problem(answer)) == (422, "invalid")


def test_no_token_is_in_what_it_says(ingress: Ingress) -> None:
    token = ingress.token("ops")
    ingress.post("completions", {"exit_code": "x"}, token=token)
    ingress.post("completions", ONE, token=f"{token}x")
    assert token not in ingress.process.said()


@pytest.mark.parametrize(
    ("method", "path", "status", "word"),
    [
        ("GET", "/", 404, "unknown-path"),
        ("GET", "/v1/completions", 405, "method-not-allowed"),
        ("DELETE", "/v1/completions/c1", 405, "method-not-allowed"),
        ("PUT", "/healthz", 405, "method-not-allowed"),
    ],
)
def test_what_there_is_not(ingress: Ingress, method: str, path: str, status: int, word: str) -> None:
    answer = ingress.ask(method, path)
    assert (answer.status, problem(answer)) == (status, word)


def test_the_trace_context_in_the_head_of_a_request_is_that_of_its_completions(ingress: Ingress) -> None:
    """Unless they have one of their own; a malformed one is none."""
    parent, own = (f"00-{'0' * 31}{n}-{'0' * 15}{n}-01" for n in (1, 2))
    head = {"traceparent": parent, "tracestate": "a=b"}
    traced = ONE | {"completion_id": "c2", "trace": {"traceparent": own}}
    assert ingress.post("completions", {"completions": [ONE, traced]}, headers=head).status == 202
    assert ingress.post("wakes", {"session_key": "agent:ops:main"}, headers=head).status == 202
    assert ingress.post("completions", ONE | {"completion_id": "c3"}, headers={"traceparent": "00-x"}).status == 202
    assert [body.get("trace") for body in ingress.accepted(4)] == [head, {"traceparent": own}, head, None]
