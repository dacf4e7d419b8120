"""Every Celery task and queue name. Tasks are sent by name, so no producer imports a consumer."""

from __future__ import annotations

import socket
from hashlib import blake2b
from typing import NamedTuple

EXEC_COMPLETED = "dispatcher.exec_completed"
WAKE_REQUESTED = "dispatcher.wake_requested"
ROUTE = "dispatcher.route"
HEARTBEAT = "workers.heartbeat"


def slot_of(agent_id: str, slots: int) -> int:
    """The state slot of an agent: a stable hash, the same in every process and release. Never changes for a store."""
    return int.from_bytes(blake2b(agent_id.encode(), digest_size=8).digest(), "big") % slots


def inbox_queue(prefix: str) -> str:
    """The queue on which routers are told to look at the inbox."""
    return f"{prefix}.inbox"


def agent_queue(prefix: str, pool: str, slot: int, partitions: int) -> str:
    """The queue of an agent's partition, computed at each ring; where the mailbox lies does not depend on it."""
    return f"{prefix}.{pool}.{slot % partitions:02d}"


def pool_queues(prefix: str, pool: str, partitions: int) -> list[str]:
    """All queues of a pool: the explicit `-Q` of its workers."""
    return [f"{prefix}.{pool}.{nn:02d}" for nn in range(partitions)]


def host_name() -> str:
    """This host as it stands in the names of its processes: without dots, which separate their parts."""
    return "".join(c if c.isalnum() or c == "-" else "-" for c in socket.gethostname())[:64]


class Holder(NamedTuple):
    """A process as the name of its presence tells: `<role>.<what it serves>.<host>.<pid>.<chance>`. `serves`: pools, or the inbox."""

    role: str
    serves: tuple[str, ...]
    host: str
    pid: int


def holder_of(name: str) -> Holder | None:
    """None for a name that is none of ours."""
    parts = name.split(".")
    if len(parts) != 5 or not parts[3].isdecimal():
        return None
    return Holder(parts[0], tuple(parts[1].split("+")), parts[2], int(parts[3]))


def serves(name: str) -> tuple[str, tuple[str, ...]]:
    """(role, pools) of a process by the name of its presence; only a worker has pools."""
    holder = holder_of(name)
    return (holder.role, holder.serves if holder.role == "worker" else ()) if holder else ("", ())
