"""The fixture of every test with real workers: a server of its own and an unstarted gateway on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway
from tests.support.server import Server

__all__ = ["gateway"]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """A server and agent ops; the test starts router and workers as it needs them."""
    with Server(appendfsync="everysec") as server:
        gateway = Gateway(tmp_path, server)
        try:
            yield gateway
        finally:
            gateway.close()
