"""What happens at each bound and on a full server: somebody is told, and nothing that was accepted goes. docs/bounds.md is the table."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import redis

from dispatcher.core.errors import InboxFull
from dispatcher.routing import Router
from dispatcher.store.opened import open_store
from dispatcher.submit import completion_of, submission_of
from tests.support.desk import TOML, Desk
from tests.support.exec_process import environment, exec_words, kept, run_exec
from tests.support.server import Server


def test_full_dead_letters_hold_up_the_inbox_and_then_the_producers(desk: Desk) -> None:
    """Nothing is evicted on the way: one bound leans on the next, and each says so. With room again, everything moves on."""
    config = desk.configured(TOML + "[bounds]\nmax_dead = 1\nmax_inbox = 3\n")
    store = open_store(config, desk.url)
    router = Router(store, config, desk.bells)

    def submit(number: int) -> None:
        store.inbox.submit(submission_of(completion_of({"completion_id": f"x{number}", "session_key": f"node-{number}", "exit_code": 1})))

    for number in range(4):
        submit(number)
        if number == 0:
            router.drain_inbox()
    with pytest.raises(InboxFull) as refused:
        submit(4)
    assert refused.value.retry_after_s > 0
    assert "x4" in str(refused.value)
    desk.taken_over(router)
    balance = store.ledger.balance()
    assert (balance.accepted, balance.unrouted, balance.dead, balance.balance) == (4, 3, 1, 0)
    assert store.inbox.drop("x0")
    desk.taken_over(router)
    submit(4)
    balance = store.ledger.balance()
    assert (balance.accepted, balance.unrouted, balance.dead, balance.dropped, balance.balance) == (5, 3, 1, 1, 0)
    store.close()


def test_a_full_mailbox_is_told_in_the_letter_and_revived_when_there_is_room(desk: Desk) -> None:
    config = desk.configured(TOML + "[bounds]\nmax_mailbox = 2\n")
    store = open_store(config, desk.url)
    router = Router(store, config, desk.bells)
    for number in range(3):
        desk.submit(completion_id=f"c{number}", session_key="agent:ops:main")
    router.drain_inbox()
    assert desk.dead() == {"c2": "mailbox-full"}
    assert store.ledger.balance().pending == 2
    assert store.mailbox.revive("ops", "agents", "c2").status == "REVIVED"
    assert desk.fate("c2") == ("pending", "ops")
    store.close()


def test_a_full_server_is_met_with_the_spool_and_gets_it_later(tmp_path: Path, redis_client: redis.Redis, server: Server) -> None:
    """`maxmemory` under `noeviction`: no completion is accepted, none is lost, and the exit code of the command stays."""
    run_exec(tmp_path, "--id", "before", "--", "true", url=server.url)
    redis_client.config_set("maxmemory-policy", "noeviction")
    redis_client.config_set("maxmemory", 1)
    try:
        done = run_exec(tmp_path, "--id", "during", "--", "sh", "-c", "exit 3", url=server.url)
        assert done.returncode == 3
        assert b"completion during kept in" in done.stderr
        assert b"see its memory" in done.stderr
        assert [completion["completion_id"] for completion in kept(tmp_path)] == ["during"]
    finally:
        redis_client.config_set("maxmemory", 0)
    done = run_exec(tmp_path, "--id", "after", "--", "true", url=server.url)
    assert done.stderr == b"wake: 1 kept completion(s) delivered, 0 left\n"
    entries: Any = redis_client.xrange("wake:{inbox}:stream")  # redis-py types its replies for every mode at once
    bodies = [json.loads(fields["body"]) for _, fields in entries]
    assert [body["completion_id"] for body in bodies] == ["before", "after", "during"]


def test_a_full_spool_says_what_is_lost_and_how_to_report_it(tmp_path: Path) -> None:
    env = environment(WAKE_BOUNDS_MAX_SPOOL="1")
    words = ["--", "sh", "-c", "exit 4"]
    first, second = (
        subprocess.run(exec_words("--id", name, *words), cwd=tmp_path, env=env, capture_output=True, timeout=60, check=False)
        for name in ("fits", "does-not")
    )
    assert (first.returncode, second.returncode) == (4, 4)
    assert b"kept in" in first.stderr
    assert b"[bounds] max_spool" in second.stderr
    assert b"LOST unless you run: wake submit" in second.stderr
    assert b"--id does-not" in second.stderr
    assert [completion["completion_id"] for completion in kept(tmp_path)] == ["fits"]
    assert len(os.listdir(tmp_path / ".wake" / "spool")) == 1
