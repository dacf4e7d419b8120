"""Fixtures of every test: one real server per test process, empty at the start of each test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest
import redis

from dispatcher.app import app, forget_current
from dispatcher.store.connect import kombu_url
from tests.support.server import Server

# No bound on the time of an example: a machine under load is no defect. The same examples in every run: what is new to a change is its own.
hypothesis.settings.register_profile("check", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow])
# Other examples each time, and many, to look for defects: pytest --hypothesis-profile=search
hypothesis.settings.register_profile("search", hypothesis.settings.get_profile("check"), derandomize=False, max_examples=5_000)
hypothesis.settings.load_profile("check")

# A shell starts what it puts in the background deaf to some of these, nohup to others, and every process of a test would inherit that.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


def pytest_report_header() -> str:
    """Says on what tests/acceptance/celery runs, and whether tests/faults/test_hosts.py can."""
    from tests.support.containers import docker_answers
    from tests.support.hosts import why_not

    celery = "the stock server container" if docker_answers() else "local processes, no Docker daemon answers"
    hosts = f"skipped: {missing}" if (missing := why_not()) else "network namespaces"
    return f"pytest-celery: {celery}; several hosts: {hosts}"


@pytest.fixture(scope="session", autouse=True)
def server() -> Iterator[Server]:
    """The server of this test process (of each xdist worker its own), there from the first test on. A killer need not start it again."""
    with Server(appendfsync="everysec") as server:
        _bind_celery(server.url)
        yield server


def _bind_celery(url: str) -> None:
    """The Celery application of a process is configured once, by whoever uses it first; here that is nobody but us."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAKE_REDIS_URL", url)
        patch.setenv("WAKE_CONFIG", os.devnull)
        forget_current()
        bound = app.conf.broker_url
        forget_current()
    assert bound == kombu_url(url), "a test, or its imports, used the Celery application before: take attributes of the package instead"


@pytest.fixture(autouse=True)
def nothing_of_ours_stays() -> Iterator[None]:
    """Neither in the environment, which every process of a later test would inherit, nor as the configuration of this process."""
    before = {name: value for name, value in os.environ.items() if name.startswith("WAKE_")}
    yield
    forget_current()
    assert {name: value for name, value in os.environ.items() if name.startswith("WAKE_")} == before


@pytest.fixture
def redis_client(server: Server) -> Iterator[redis.Redis]:
    """A client on the empty server; `server.url` is where to point the code under test."""
    server.start()
    server.thaw()
    client = server.client()
    client.flushall()
    yield client
    client.close()
