"""The doorbell's target."""

from __future__ import annotations

import logging
from typing import Any

from dispatcher import names
from dispatcher.core.errors import StoreUnavailable
from dispatcher.core.session_key import valid_agent_id
from workers.app import app
from workers.host import current_host, leaving

log = logging.getLogger(__name__)


@app.task(name=names.HEARTBEAT, shared=False)
def heartbeat(agent_id: object = None, *_: object, **__: object) -> dict[str, Any]:
    """Looks into one agent's mailbox and does what is due. Anything but one agent id is refused."""
    if not isinstance(agent_id, str) or not valid_agent_id(agent_id) or agent_id != agent_id.lower():
        log.error("doorbell for %.100r refused: it names no single agent", agent_id)
        return {"agent": None, "did": "refused"}
    if leaving.is_set():
        return {"agent": agent_id, "did": "leaving"}  # the due index rings again, elsewhere
    host = current_host()
    try:
        host.require_presence()
        host.follow_reloads()
        return host.worker.heartbeat(agent_id)
    except StoreUnavailable as error:
        log.warning("heartbeat agent=%s: %s", agent_id, error)
        return {"agent": agent_id, "did": "store-unavailable"}


__all__ = ["app", "heartbeat"]
