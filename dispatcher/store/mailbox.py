"""The mailbox of one agent: waiting wakes, lease, frozen batches.

One method per step, each atomic on the server. A late holder is answered `STALE_TOKEN`, never success.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from dispatcher.core.models import Address, Batch, Lease, Wake
from dispatcher.core.snapshot import Deferral, Snapshot, snapshot_from
from dispatcher.store.connect import unavailable
from dispatcher.store.keys import Keys
from dispatcher.store.limits import StoreLimits
from dispatcher.store.scripts import Argument, Call, Caller, Reply

ParkKind = Literal["failed", "handed-back", "busy", "cancelled"]


@dataclass(frozen=True, slots=True)
class Deposit:
    """One wake on its way into one mailbox. `pool` is where it lies, `configured` where the configuration wants it."""

    address: Address
    pool: str
    configured: str
    wake: Wake
    lane: str
    delay_ms: int
    output: str
    entry: str
    revival: int
    read_at_ms: int
    quiet_ms: int = 0
    max_wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Leased:
    """The lease was granted; `snapshot` is what the policy decides on."""

    lease: Lease
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class NotLeased:
    """Somebody else is at it, or there is nothing to do now. The due index looks again."""

    status: Literal["LEASE_HELD", "NOT_DUE", "EMPTY", "FOREIGN"]
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """The batch is frozen and runs under the lease."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call of the holder ended. `ring`: the agent is due again, tell a worker."""

    status: str
    ring: bool = False
    count: int = 0


class Mailbox:
    """Steps on mailboxes. `now_ms` other than 0 stands in for the server clock, for simulation and tests only."""

    def __init__(self, caller: Caller, keys: Keys, limits: StoreLimits, now_ms: int = 0) -> None:
        self._caller, self._keys, self._limits = caller, keys, limits
        self.now_ms = now_ms

    def put_all(self, deposits: Sequence[tuple[Deposit, str | None]]) -> list[Reply]:
        """Each wake into its mailbox, or, with the reason why it is quiet, into the books only; one round trip.

        The replies in order, as deposit.lua and suppress.lua declare them, or FAILED where the data of that agent is unsound.
        """
        with unavailable(f"deposit {len(deposits)} wakes"):
            return self._caller.call_all(self.deposit_calls(deposits), apart=True)

    def deposit_calls(self, deposits: Sequence[tuple[Deposit, str | None]]) -> list[Call]:
        """The calls of `put_all`."""
        return [self._suppress(d, quiet) if quiet else self._deposit(d) for d, quiet in deposits]

    def deposit_all(self, deposits: Sequence[Deposit]) -> list[Reply]:
        """As `put_all`, nothing quiet among them."""
        return self.put_all([(d, None) for d in deposits])

    def _deposit(self, d: Deposit) -> Call:
        limits = self._limits
        wake = d.wake.model_dump_json(exclude_defaults=True)
        more: dict[str, Argument] = {
            "accepted_at": d.wake.accepted_at_ms,
            "session": d.address.session_key,
            "intent": d.lane,
            "delay_ms": max(0, d.delay_ms),
            "quiet_ms": max(0, d.quiet_ms),
            "max_wait_ms": max(0, d.max_wait_ms),
            "depth": d.wake.lineage.depth if d.wake.lineage else 0,
        }
        bounds: dict[str, Argument] = {"max_mailbox": limits.max_mailbox, "max_dead": limits.max_dead}
        args = self._arrival(d) | more | bounds | {"wake": wake, "output": d.output}
        return Call("deposit", self._keys.agent(d.pool, d.address.agent_id), args)

    def _suppress(self, d: Deposit, reason: str) -> Call:
        return Call("suppress", self._keys.agent(d.pool, d.address.agent_id), self._arrival(d) | {"reason": reason})

    def _arrival(self, d: Deposit) -> dict[str, Argument]:
        """What deposit and suppress are both told."""
        return {
            "now": self.now_ms,
            "agent": d.address.agent_id,
            "pool": d.pool,
            "configured": d.configured,
            "read_at": d.read_at_ms,
            "max_hold_ms": self._limits.max_hold_ms,
            "entry": d.entry,
            "id": d.wake.wake_id,
            "revival": d.revival,
        }

    def acquire(self, agent_id: str, pool: str, holder: str, nonce: str) -> Leased | NotLeased:
        """Takes the agent's lease if work is due. The same nonce again gets the same token again."""
        with unavailable(f"acquire agent={agent_id}"):
            reply = self._step(
                "acquire",
                pool,
                agent_id,
                pool=pool,
                holder=holder,
                nonce=nonce,
                claim_ms=self._limits.claim_ms,
                ledger_max=self._limits.ledger_max,
            )
        if reply.status != "LEASED":
            return NotLeased(reply.status, "/".join(map(str, reply.rest)))  # type: ignore[arg-type]  # words of acquire.lua's header
        lease = Lease(agent_id=agent_id, pool=pool, token=int(reply.rest[0]), holder=holder)
        return Leased(lease, snapshot_from(json.loads(reply.rest[1]), agent_id, pool))

    def defer(self, lease: Lease, seen: int, deferrals: Sequence[Deferral]) -> Ended:
        """Nothing runs now. CHANGED: a more urgent wake came after the decision; decide again."""
        words = json.dumps([[d.kind, d.until_ms, d.reason] for d in deferrals])
        return self._held("defer", lease, seen=seen, deferrals=words, ledger_max=self._limits.ledger_max)

    def begin(
        self, lease: Lease, session_key: str, intents: Sequence[str], max_batch: int, limit_ms: int, *, counts: bool = True
    ) -> Begun | Ended:
        """Freezes the wakes of one target as a new batch under this lease. At most `max_batch` wakes; the rest is the next batch.

        `counts` False: it will be buried, not run, and leaves no mark on cooldown and budget.
        """
        batch_id = f"{lease.agent_id}-{lease.token}"
        reply = self._reply(
            "begin",
            lease,
            batch=batch_id,
            session=session_key,
            intents=",".join(intents),
            max_batch=max_batch,
            counts=int(counts),
            ttl_ms=self._limits.ttl_ms,
            limit_ms=limit_ms,
            outputs_shown=self._limits.outputs_shown,
            ledger_max=self._limits.ledger_max,
        )
        return _begun(lease, batch_id, reply)

    def resume(self, lease: Lease, batch_id: str, limit_ms: int) -> Begun | Ended:
        """Starts a parked batch again, unchanged, as its next attempt."""
        reply = self._reply(
            "resume",
            lease,
            batch=batch_id,
            ttl_ms=self._limits.ttl_ms,
            limit_ms=limit_ms,
            outputs_shown=self._limits.outputs_shown,
            ledger_max=self._limits.ledger_max,
        )
        return _begun(lease, batch_id, reply)

    def renew_all(self, held: Sequence[tuple[Lease, str]]) -> list[str]:
        """One more ttl for each (lease, batch id), in one round trip; the status words in order, FAILED as in `put_all`."""
        calls = [
            Call(
                "renew", self._keys.agent(lease.pool, lease.agent_id), self._fence(lease) | {"batch": batch, "ttl_ms": self._limits.ttl_ms}
            )
            for lease, batch in held
        ]
        with unavailable(f"renew {len(held)} leases"):
            return [reply.status for reply in self._caller.call_all(calls, apart=True)]

    def settle(self, lease: Lease, batch_id: str, outcome: Literal["ran", "skipped"], detail: dict[str, Any], avoidable: str = "") -> Ended:
        """The batch is done. ALREADY_SETTLED answers a repetition by the same token. `avoidable`: why the turn need not have been."""
        words = {"outcome": outcome, "avoidable": avoidable, "detail": json.dumps(detail)}
        return self._held("settle", lease, batch=batch_id, ledger_max=self._limits.ledger_max, **words)

    def park(self, lease: Lease, batch_id: str, kind: ParkKind, delay_ms: int, error: str) -> Ended:
        """The batch stays as it is for its next attempt, `delay_ms` from now."""
        return self._held("park", lease, batch=batch_id, kind=kind, delay_ms=delay_ms, error=error, ledger_max=self._limits.ledger_max)

    def dissolve(self, lease: Lease, batch_id: str, wait_ms: int, block_all_ms: int, block_rest_ms: int, reason: str) -> Ended:
        """The target was busy: its wakes wait again in their old order, and no attempt is counted."""
        return self._held(
            "dissolve",
            lease,
            batch=batch_id,
            wait_ms=wait_ms,
            block_all_ms=block_all_ms,
            block_rest_ms=block_rest_ms,
            rider_age_ms=self._limits.rider_age_ms,
            reason=reason,
            ledger_max=self._limits.ledger_max,
        )

    def bury(self, lease: Lease, batch_id: str, reason: str, error: str) -> Ended:
        """The batch becomes dead letters as a whole. DEAD_FULL: nothing was written."""
        return self._held(
            "bury", lease, batch=batch_id, reason=reason, error=error, max_dead=self._limits.max_dead, ledger_max=self._limits.ledger_max
        )

    def revive(self, agent_id: str, pool: str, completion_id: str) -> Ended:
        """A dead letter of this agent waits again, due at once. HANDED_OFF: it is being revived for another agent."""
        with unavailable(f"revive agent={agent_id} completion={completion_id}"):
            return _ended(self._step("revive", pool, agent_id, id=completion_id, ledger_max=self._limits.ledger_max))

    def drop(self, agent_id: str, pool: str, completion_id: str, reason: str, before_ms: int = 0) -> Ended:
        """A dead letter of this agent is dropped for good; with `before_ms` only one that has been dead since before then.

        HANDED_OFF: it is being revived for another agent.
        """
        with unavailable(f"drop agent={agent_id} completion={completion_id}"):
            return _ended(
                self._step("drop", pool, agent_id, id=completion_id, reason=reason, before=before_ms, ledger_max=self._limits.ledger_max)
            )

    def move(self, agent_id: str, pool: str, to: str, configured: str) -> str:
        """Moves an agent with everything it has; MOVED, ALREADY, LEASE_HELD (refused while it runs) or CHANGED."""
        source, target = self._keys.agent(pool, agent_id), self._keys.agent(to, agent_id)
        keys = {f"from_{n}": k for n, k in source.items()} | {f"to_{n}": k for n, k in target.items()} | dict(source)
        with unavailable(f"move agent={agent_id} to pool={to}"):
            return self._caller.call("move", keys, now=self.now_ms, agent=agent_id, pool=pool, to=to, configured=configured).status

    def _step(self, script: str, key_pool: str, agent_id: str, **args: Argument) -> Reply:
        return self._caller.call(script, self._keys.agent(key_pool, agent_id), now=self.now_ms, agent=agent_id, **args)

    def _fence(self, lease: Lease) -> dict[str, Argument]:
        return {"now": self.now_ms, "agent": lease.agent_id, "token": lease.token, "holder": lease.holder}

    def _reply(self, script: str, lease: Lease, **args: Argument) -> Reply:
        with unavailable(f"{script} agent={lease.agent_id} token={lease.token}"):
            return self._caller.call(script, self._keys.agent(lease.pool, lease.agent_id), **(self._fence(lease) | args))

    def _held(self, script: str, lease: Lease, **args: Argument) -> Ended:
        return _ended(self._reply(script, lease, **args))


def _ended(reply: Reply) -> Ended:
    numbers = [n for n in reply.rest if isinstance(n, int)]
    return Ended(reply.status, bool(numbers and numbers[0]), numbers[1] if len(numbers) > 1 else 0)


def _begun(lease: Lease, batch_id: str, reply: Reply) -> Begun | Ended:
    if reply.status != "BEGUN":
        return Ended(reply.status)
    meta, wakes, outputs = json.loads(reply.rest[0]), reply.rest[1], reply.rest[2]
    return Begun(
        Batch(
            batch_id=batch_id,
            address=Address(agent_id=lease.agent_id, session_key=meta["session"]),
            attempt=meta["attempt"],
            failures=meta["failures"],
            deliveries=meta["deliveries"],
            wakes=tuple(Wake.model_validate_json(w) for w in wakes),
            outputs=dict(zip(outputs[::2], outputs[1::2], strict=True)),
        )
    )
