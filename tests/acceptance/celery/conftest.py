"""pytest-celery without an engine: its fixtures and classes, backed by local processes.

Where a Docker daemon answers, the server is the stock container. The report says at its top which it is.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from pytest_celery import (
    CELERY_REDIS_BACKEND,
    CELERY_REDIS_BROKER,
    CeleryTestBackend,
    CeleryTestBroker,
    CeleryTestSetup,
    CeleryTestWorker,
    CeleryWorkerCluster,
    RedisContainer,
)

from tests.acceptance.celery.fleet import AGENTS, ROUTER, Fleet
from tests.support.containers import LocalContainer, LocalRedis, ServerContainer, Stranger, StrangerProcess, WakeWorker, docker_answers

AOF = ("--appendonly", "yes", "--appendfsync", "always")  # later words win over those of the stock command


@pytest.fixture
def server_port() -> int:
    """Free now, and the same after a restart: Docker would choose another one each time."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def default_redis_broker_ports(server_port: int) -> dict[str, int]:
    return {"6379/tcp": server_port}


@pytest.fixture
def default_redis_broker_command(default_redis_broker_cls: type[RedisContainer]) -> list[str]:
    """The stock command, but what was accepted must outlive a restart."""
    words: list[str] = default_redis_broker_cls.command(*AOF)
    return words


if not docker_answers():

    @pytest.fixture
    def default_redis_broker(default_redis_broker_command: list[str], server_port: int) -> Iterator[RedisContainer]:
        """A real server, as a process."""
        server = ServerContainer(default_redis_broker_command, server_port)
        yield LocalRedis(server)
        server.remove()


@pytest.fixture
def default_redis_backend(default_redis_broker: RedisContainer) -> RedisContainer:
    """Our workers keep no results; what strangers keep lies on the same server."""
    return default_redis_broker


@pytest.fixture(params=[CELERY_REDIS_BROKER])
def celery_broker(request: pytest.FixtureRequest) -> CeleryTestBroker:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=[CELERY_REDIS_BACKEND])
def celery_backend(request: pytest.FixtureRequest) -> CeleryTestBackend:
    return request.getfixturevalue(request.param)


@pytest.fixture
def processes() -> tuple[str, ...]:
    """The command line of each worker of the cluster. A test that needs others parametrizes it."""
    return ROUTER, AGENTS


@pytest.fixture
def tables() -> dict[str, dict[str, Any]]:
    """What wake.toml says beyond the rig's own."""
    return {}


@pytest.fixture
def fleet(tmp_path: Path, celery_broker: CeleryTestBroker, tables: dict[str, dict[str, Any]]) -> Iterator[Fleet]:
    """The rig, on the server of this setup; nothing runs yet."""
    fleet = Fleet(tmp_path, celery_broker.config()["host_url"])
    fleet.configure(**tables)
    yield fleet
    fleet.close()


@pytest.fixture
def default_worker_container_cls() -> type[WakeWorker]:
    return WakeWorker


@pytest.fixture
def celery_worker_cluster(
    fleet: Fleet, processes: tuple[str, ...], default_worker_container_cls: type[WakeWorker], celery_setup_app: Celery
) -> Iterator[CeleryWorkerCluster]:
    """All processes of ours, ready: started as in production, which no container of pytest-celery's would be."""
    command = default_worker_container_cls.command
    containers = [LocalContainer(words, partial(fleet.start, *command(*words.split()))) for words in processes]
    fleet.ready()
    cluster = CeleryWorkerCluster(*(CeleryTestWorker(default_worker_container_cls(one), celery_setup_app) for one in containers))
    yield cluster
    cluster.teardown()


@pytest.fixture
def stranger(celery_setup: CeleryTestSetup, celery_worker_cluster_config: dict[str, Any], tmp_path: Path) -> Iterator[CeleryTestWorker]:
    """pytest-celery's stock worker, program and all, on our queues."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    env = Stranger.initial_env(celery_worker_cluster_config)
    content = Stranger.initial_content(worker_app=celery_setup.app)
    container = LocalContainer("stranger", lambda: StrangerProcess(Stranger.command(), content, env, folder))
    worker = CeleryTestWorker(Stranger(container), celery_setup.app)
    try:
        assert worker.ready()
        yield worker
    finally:
        container.remove()
