"""These tests run a whole gateway of real processes."""

from __future__ import annotations

from tests.support.gateway_fixture import gateway

__all__ = ["gateway"]
