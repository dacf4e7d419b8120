"""Fixtures of every test: one real server per test process, empty at the start of each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.support.server import Server


def pytest_report_header() -> str:
    """Says on what tests/acceptance/celery runs."""
    from tests.support.containers import docker_answers

    return f"pytest-celery: {'the stock server container' if docker_answers() else 'local processes, no Docker daemon answers'}"


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server of this test process (of each xdist worker its own). A test that kills it need not start it again."""
    with Server(appendfsync="everysec") as server:
        yield server


@pytest.fixture
def redis_client(server: Server) -> Iterator[redis.Redis]:
    """A client on the empty server; `server.url` is where to point the code under test."""
    server.start()
    server.thaw()
    client = server.client()
    client.flushall()
    yield client
    client.close()
