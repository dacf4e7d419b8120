"""The command in a folder of its own, on an empty server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from dispatcher.app import forget_current
from tests.support.server import Server
from tests.support.wake_cli import WakeCli


@pytest.fixture
def wake(
    tmp_path: Path, server: Server, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[WakeCli]:
    """Nothing of ours is in the environment but the server's address; wake.toml knows ops, research and off."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAKE_CONFIG", "")  # a command may set it; this puts it back afterwards
    monkeypatch.setenv("WAKE_REDIS_URL", server.url)
    yield WakeCli(tmp_path, redis_client, server.url, capsys)
    forget_current()
