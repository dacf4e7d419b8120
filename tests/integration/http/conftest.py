"""These tests talk to a real ingress."""

from __future__ import annotations

from tests.support.ingress_fixture import ingress, shared_ingress, start

__all__ = ["ingress", "shared_ingress", "start"]
