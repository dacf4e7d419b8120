"""Fixtures of the tests on one real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.desk import Desk
from tests.support.server import Server


@pytest.fixture
def desk(redis_client: redis.Redis, server: Server, tmp_path: Path) -> Iterator[Desk]:
    assert redis_client.dbsize() == 0
    desk = Desk(tmp_path, server.url)
    yield desk
    assert desk.store.ledger.balance().balance == 0
    desk.store.close()
