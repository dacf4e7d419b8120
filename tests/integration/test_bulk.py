"""`with dispatcher.batch():` — many completions in few round trips, and what becomes of them when something goes wrong."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import dispatcher
from dispatcher import BatchIncomplete, InvalidCompletion
from dispatcher.app import current_store, forget_current, use_config
from dispatcher.spool import pending
from tests.support.server import Server

Configure = Callable[..., Path]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server, redis_client: redis.Redis) -> Iterator[Configure]:
    """Writes a configuration and makes it that of this process; the spool's folder."""
    assert redis_client.ping()
    monkeypatch.setenv("WAKE_CONFIG", "")  # put back afterwards

    def configured(url: str = server.url, more: str = "") -> Path:
        path = tmp_path / "wake.toml"
        where = f'url = "{url}"\n' if url else ""  # without one, an embedded server that does not run here
        path.write_text(f"[redis]\n{where}connect_timeout_ms = 500\n[agents.ops]\n{more}")
        use_config(str(path))
        return tmp_path / ".wake" / "spool"

    yield configured
    forget_current()


def report(name: str, **more: Any) -> Any:
    return dispatcher.exec_completed.delay(**{"completion_id": name, "session_key": "agent:ops:main", "exit_code": 1} | more)


def together(*named: tuple[str, int]) -> None:
    """One batch of these ids with these exit codes."""
    with dispatcher.batch():
        for name, exit_code in named:
            report(name, exit_code=exit_code)


def accepted(client: redis.Redis) -> list[str]:
    entries: Any = client.xrange("wake:{inbox}:stream")  # redis-py types its replies for every mode at once
    return [fields["id"] for _, fields in entries]


def test_what_is_reported_inside_goes_out_in_pages_and_has_receipts_afterwards(configure: Configure, redis_client: redis.Redis) -> None:
    """In order, once each; a repetition outside is a duplicate of it."""
    configure()
    with dispatcher.batch(page=4) as sent:
        results = [report(f"c{number}") for number in range(10)]
        assert [result.receipt for result in results[8:]] == [None, None]
    assert sent.ids == accepted(redis_client) == [f"c{number}" for number in range(10)]
    assert [result.receipt for result in results] == [sent.receipts[name] for name in sent.ids]
    assert report("c3").receipt.entry_id == sent.receipts["c3"].entry_id
    assert results[3].fate() == "accepted"


def test_what_the_environment_says_of_the_cause_goes_with_each(
    configure: Configure, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was when the block began; what an earlier block, or a call outside, found is none of it."""
    configure()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    together(("before", 1))
    monkeypatch.setenv("WAKE_LINEAGE", "2:research:root")
    monkeypatch.setenv("TRACEPARENT", parent)
    together(("first", 1), ("second", 1))
    entries: Any = redis_client.xrange("wake:{inbox}:stream")
    bodies = [json.loads(fields["body"]) for _, fields in entries]
    caused = {"depth": 3, "agent_id": "research", "root": "root"}
    assert [(body.get("lineage"), body.get("trace")) for body in bodies] == [(None, None), *[(caused, {"traceparent": parent})] * 2]


def test_a_block_that_raises_has_sent_what_was_reported_before(configure: Configure, redis_client: redis.Redis) -> None:
    configure()

    def block() -> None:
        with dispatcher.batch():
            report("before")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        block()
    assert accepted(redis_client) == ["before"]
    report("after")
    assert accepted(redis_client) == ["before", "after"]


def test_words_that_are_wrong_are_refused_by_their_own_call(configure: Configure, redis_client: redis.Redis) -> None:
    configure()
    with dispatcher.batch():
        report("first")
        with pytest.raises(InvalidCompletion, match="exit_code"):
            report("wrong", exit_code="no number")
        report("last")
    assert accepted(redis_client) == ["first", "last"]


def test_an_id_that_is_known_with_other_words_is_told_at_the_end_and_the_others_stand(
    configure: Configure, redis_client: redis.Redis
) -> None:
    configure()
    report("known")
    with pytest.raises(BatchIncomplete, match="1 of 3 completions were not accepted") as incomplete:
        together(("a", 1), ("known", 7), ("b", 1))
    assert list(incomplete.value.refused) == ["known"]
    assert "id-conflict" in incomplete.value.refused["known"]
    assert accepted(redis_client) == ["known", "a", "b"]


def test_while_no_server_answers_they_are_kept_and_the_next_batch_delivers_them(
    configure: Configure, redis_client: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool = configure(url=f"unix://{tmp_path}/nobody.sock?db=0")
    with caplog.at_level(logging.WARNING), dispatcher.batch(page=2) as kept:
        for number in range(5):
            report(f"k{number}")
    assert (kept.kept, kept.receipts) == ([f"k{number}" for number in range(5)], {})
    assert len(pending(spool)) == 5
    assert "5 completions are kept in the spool" in caplog.text
    configure()
    for number in range(5):  # one at least each time: on a slow machine the time of a flush is over soon
        together((f"new{number}", 1))
    assert pending(spool) == []
    assert [name for name in accepted(redis_client) if name.startswith("k")] == kept.kept


def test_without_a_server_that_has_an_address_they_are_kept_page_by_page(configure: Configure) -> None:
    spool = configure(url="")
    with dispatcher.batch(page=2) as sent:
        for number in range(5):
            report(f"c{number}")
    assert sent.kept == sent.ids == [f"c{number}" for number in range(5)]
    assert len(pending(spool)) == 5


def test_what_can_neither_be_sent_nor_kept_is_told_by_its_id(configure: Configure, tmp_path: Path) -> None:
    configure(url=f"unix://{tmp_path}/nobody.sock?db=0", more="[bounds]\nmax_spool = 1\n")
    with pytest.raises(BatchIncomplete, match="neither sent") as incomplete:
        together(("fits", 1), ("does-not", 1))
    assert list(incomplete.value.refused) == ["does-not"]


def test_what_a_full_inbox_does_not_take_is_kept(configure: Configure, redis_client: redis.Redis) -> None:
    spool = configure(more="[bounds]\nmax_inbox = 2\n")
    with dispatcher.batch() as sent:
        for number in range(3):
            report(f"c{number}")
    assert (accepted(redis_client), sent.kept, len(pending(spool))) == (["c0", "c1"], ["c2"], 1)


def test_answers_that_are_lost_on_their_way_are_asked_for_again(configure: Configure, redis_client: redis.Redis) -> None:
    """The page went out, and its connection was cut: under the same ids it is sent again, and nothing is doubled."""
    configure()
    assert current_store().ledger.now_ms() > 0
    with dispatcher.batch(page=2) as sent:
        report("c0")
        report("c1")
        for connection in redis_client.client_list(_type="normal"):
            if connection["name"].startswith("wake-"):
                redis_client.client_kill_filter(_id=connection["id"])
        report("c2")
    assert sorted(sent.receipts) == accepted(redis_client) == ["c0", "c1", "c2"]


def test_a_wake_that_somebody_asks_for_does_not_wait_for_the_batch(configure: Configure, redis_client: redis.Redis) -> None:
    configure()
    with dispatcher.batch():
        report("gathered")
        dispatcher.wake_requested.delay(wake_id="now", session_key="agent:ops:main", text="the disk is full")
        assert accepted(redis_client) == ["now"]
    assert accepted(redis_client) == ["now", "gathered"]
