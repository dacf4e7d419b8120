"""Routers check the token of what they route, and keep it nowhere."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dispatcher.core.models import Fate
from dispatcher.dead_letters import DeadLetters
from dispatcher.routing import Router
from dispatcher.store.mailbox import Begun, Leased
from dispatcher.submit import submission_of, wake_request_of
from dispatcher.tokens import VARIABLE, Keyring, new_key
from tests.support.desk import Desk


@pytest.fixture
def keyring(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Keyring:
    monkeypatch.setenv(VARIABLE, new_key())
    return Keyring(desk.config)


def strict(desk: Desk) -> Router:
    return desk.router("[routing]\nrequire_token = true\n[routing.bindings]\n'node-mac' = 'research'\n[agents.ops]\n[agents.research]\n")


def mint(keyring: Keyring, *agents: str, ttl_s: int = 600, wakes: bool = False, ago_s: int = 0) -> str:
    return keyring.mint(agents, ttl_s=ttl_s, now_s=int(time.time()) - ago_s, wakes=wakes)


def ask(desk: Desk, **words: Any) -> str:
    request = wake_request_of({"session_key": "agent:ops:main"} | words)
    desk.store.inbox.submit(submission_of(request))
    return request.wake_id


def everything(desk: Desk) -> str:
    """All that the store holds, as one text."""
    client = desk.store.client
    reads = {"hash": client.hgetall, "stream": client.xrange, "set": client.smembers, "string": client.get}
    reads |= {"zset": lambda key: client.zrange(key, 0, -1), "list": lambda key: client.lrange(key, 0, -1)}
    return "\n".join(f"{key}: {reads[client.type(key)](key)}" for key in client.scan_iter("*"))


def test_one_that_covers_the_owner_is_routed(desk: Desk, keyring: Keyring) -> None:
    for router in (desk.router(), strict(desk)):
        sent = desk.submit(session_key="agent:ops:main", token=mint(keyring, "ops"))
        bound = desk.submit(session_key="node-mac", token=mint(keyring, "rese*"))
        router.drain_inbox()
        assert desk.fate(sent) == (Fate.PENDING, "ops")
        assert desk.fate(bound) == (Fate.PENDING, "research")


def test_one_that_does_not_is_forbidden_wherever_it_comes_from(desk: Desk, keyring: Keyring) -> None:
    """The owner decides, not the key that was written: a bound key is its agent's."""
    wrong = {
        desk.submit(session_key="agent:ops:main", token=mint(keyring, "research")),
        desk.submit(session_key="node-mac", token=mint(keyring, "ops")),
        desk.submit(session_key="agent:ops:main", token=mint(keyring, "ops", ttl_s=60, ago_s=3600)),
        desk.submit(session_key="agent:ops:main", token="nonsense"),
        ask(desk, token=mint(keyring, "ops")),
        ask(desk, token=mint(keyring, "research", wakes=True)),
    }
    fine = ask(desk, token=mint(keyring, "ops", wakes=True))
    desk.router().drain_inbox()
    assert desk.dead() == dict.fromkeys(wrong, "forbidden")
    assert desk.fate(fine) == (Fate.PENDING, "ops")
    assert [agent for agent, _ in desk.bells.rung] == ["ops"]


def test_without_one_it_depends(desk: Desk) -> None:
    first = desk.submit(session_key="agent:ops:main")
    desk.router().drain_inbox()
    assert desk.fate(first) == (Fate.PENDING, "ops")
    second, unowned = desk.submit(session_key="agent:ops:main"), desk.submit(session_key="nowhere")
    strict(desk).drain_inbox()
    assert desk.dead() == {second: "forbidden", unowned: "unbound-key"}


def test_without_keys_no_token_is_valid(desk: Desk, keyring: Keyring, monkeypatch: pytest.MonkeyPatch) -> None:
    token = mint(keyring, "ops")
    monkeypatch.delenv(VARIABLE)
    sent = desk.submit(session_key="agent:ops:main", token=token)
    desk.router().drain_inbox()
    assert desk.dead() == {sent: "forbidden"}


def test_it_is_judged_by_the_time_of_acceptance(desk: Desk, keyring: Keyring) -> None:
    """Routers may have been away for longer than it lasts."""
    token = keyring.mint(["ops"], ttl_s=60, now_s=1_800_000_000)
    body = submission_of(
        wake_request_of(
            {"wake_id": "w", "session_key": "agent:ops:main", "token": keyring.mint(["ops"], ttl_s=60, now_s=1_800_000_000, wakes=True)}
        )
    )
    desk.store.inbox.submit(body, now_ms=1_800_000_030_000)
    desk.store.inbox.submit(submission_of(wake_request_of({"wake_id": "x", "agent_id": "ops", "token": token})), now_ms=1_800_000_200_000)
    desk.router().drain_inbox()
    assert desk.fate("w") == (Fate.PENDING, "ops")
    assert desk.dead() == {"x": "forbidden"}


def test_an_operator_may_revive_what_was_forbidden(desk: Desk) -> None:
    sent = desk.submit(session_key="agent:ops:main")
    router = strict(desk)
    router.drain_inbox()
    DeadLetters(desk.store, desk.config, desk.bells, lambda: None).revive(sent)
    router.drain_inbox()
    assert desk.fate(sent) == (Fate.PENDING, "ops")


def test_a_retry_with_a_fresh_token_is_the_same_completion(desk: Desk, keyring: Keyring) -> None:
    for ttl_s in (60, 61):
        desk.submit(completion_id="c", session_key="agent:ops:main", token=mint(keyring, "ops", ttl_s=ttl_s))
    assert desk.store.ledger.inbox_depth() == 1


def test_it_is_kept_nowhere(desk: Desk, keyring: Keyring, caplog: pytest.LogCaptureFixture) -> None:
    """Not in mailbox, batch, ledger, receipt or dead letter, nor in what the router says."""
    good, bad = mint(keyring, "ops"), mint(keyring, "research")
    desk.submit(session_key="agent:ops:main", token=good, output="done")
    desk.submit(session_key="agent:ops:main", token=bad, command="make")
    desk.submit(session_key="nowhere", token=good)
    assert good in everything(desk)
    desk.router().drain_inbox()
    leased = desk.store.mailbox.acquire("ops", "agents", "h", "n")
    if isinstance(leased, Leased):
        assert isinstance(desk.store.mailbox.begin(leased.lease, "agent:ops:main", ("event",), 10, 1000), Begun)
    kept = everything(desk) + caplog.text + repr(list(desk.store.ledger.dead_letters()))
    signatures = [token.rpartition(".")[2] for token in (good, bad)]
    assert not [signature for signature in signatures if signature in kept]
    assert "make" in kept
