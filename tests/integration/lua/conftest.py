"""What the tests of the steps share."""

from __future__ import annotations

import pytest
import redis

from tests.support.store import Rig


@pytest.fixture
def rig(redis_client: redis.Redis) -> Rig:
    """An empty store under a virtual clock. Every step is followed by a check of the whole state and of the books."""
    return Rig(redis_client)
