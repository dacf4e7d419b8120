"""The real ingress as fixtures: one on the empty server, for tests that need nothing special of it; and a way to start another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from tests.support.ingress import AGENTS, Ingress
from tests.support.server import Server

__all__ = ["ingress", "shared_ingress", "start"]


@pytest.fixture(scope="session")
def shared_ingress(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ingress]:
    """One process for many tests."""
    made = Ingress(tmp_path_factory.mktemp("ingress"), server.url, "auth_failures = 100000")
    try:
        yield made.ready()
    finally:
        made.close()


@pytest.fixture
def ingress(shared_ingress: Ingress, redis_client: redis.Redis) -> Ingress:
    """On an empty store; a reporter of the test before may still deliver, as it should."""
    redis_client.flushall()
    shared_ingress.bells.rung.clear()
    return shared_ingress


@pytest.fixture
def start(server: Server, redis_client: redis.Redis, tmp_path: Path) -> Iterator[Callable[..., Ingress]]:
    """Starts an ingress of its own with this [http] table."""
    assert redis_client.dbsize() == 0
    made: list[Ingress] = []

    def started(http: str = "", toml: str | None = None, *words: str) -> Ingress:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Ingress(folder, server.url, http, AGENTS if toml is None else toml, *words))
        return made[-1]

    yield started
    for ingress in made:
        ingress.close()
