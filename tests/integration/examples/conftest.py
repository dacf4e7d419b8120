"""What is reported goes to a real ingress, but where a test needs one that misbehaves."""

from __future__ import annotations

from tests.support.ingress_fixture import ingress, shared_ingress, start

__all__ = ["ingress", "shared_ingress", "start"]
