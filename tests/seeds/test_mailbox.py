"""One agent's mailbox on the real server against the reference model: every answer and every fate, in any order of calls."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from dispatcher.core.models import Lease
from dispatcher.store.mailbox import Begun, Leased
from tests.seeds.reference import Mailbox
from tests.support.store import AGENT, INTENTS, LIMIT_MS, MAIN, POOL, SIDE, T0, Rig, ids

SESSIONS = st.sampled_from([MAIN, SIDE])
NTH = st.integers(0, 5)


class Machine(RuleBasedStateMachine):
    """Holders that may be late, repeat themselves, and use any batch that there ever was."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        client.flushall()
        self.rig, self.model = Rig(client), Mailbox(now=T0)
        self.leases: list[Lease] = []
        self.known: list[str] = []  # batches
        self.count = 0

    @rule(session=SESSIONS)
    def arrive(self, session: str) -> None:
        self.count += 1
        self.rig.wake(f"c{self.count}", session=session)
        self.model.arrive(f"c{self.count}", session)

    @rule(ms=st.sampled_from([1, 500, 10_000, 31_000]))
    def time_passes(self, ms: int) -> None:
        self.rig.now_ms += ms
        self.model.now += ms

    @rule(holder=st.sampled_from(["h1", "h2"]))
    def acquire(self, holder: str) -> None:
        expected, answer = self.model.may_acquire(), self.rig.acquire(holder)
        if isinstance(answer, Leased):
            assert expected == "LEASED"
            self.model.granted(answer.lease.token, holder, self.rig.limits.claim_ms)
            self.leases.append(answer.lease)
        else:
            assert answer.status == expected

    @precondition(lambda self: self.leases)
    @rule(nth=NTH, session=SESSIONS)
    def begin(self, nth: int, session: str) -> None:
        lease = self.leases[-1 - nth % min(2, len(self.leases))]
        batch = f"{AGENT}-{lease.token}"
        expected = self.model.begin(batch, lease.token, session, self.rig.limits.ttl_ms)
        answer = self.rig.mailbox.begin(lease, session, INTENTS, 5_000, LIMIT_MS)
        self._begun(batch, expected, answer)
        if expected == "BEGUN" and batch not in self.known:
            self.known.append(batch)

    @precondition(lambda self: self.known)
    @rule(nth=NTH, which=NTH)
    def resume(self, nth: int, which: int) -> None:
        lease, batch = self.leases[-1 - nth % min(2, len(self.leases))], self.known[-1 - which % len(self.known)]
        expected = self.model.resume(batch, lease.token, self.rig.limits.ttl_ms)
        self._begun(batch, expected, self.rig.mailbox.resume(lease, batch, LIMIT_MS))

    @precondition(lambda self: self.known)
    @rule(nth=NTH, which=NTH, how=st.sampled_from(["SETTLED", "PARKED", "DISSOLVED", "BURIED"]))
    def end(self, nth: int, which: int, how: str) -> None:
        lease, batch = self.leases[-1 - nth % min(2, len(self.leases))], self.known[-1 - which % min(2, len(self.known))]
        expected, mailbox = self.model.end(batch, lease.token, how, 2_000), self.rig.mailbox
        match how:
            case "SETTLED":
                answer = mailbox.settle(lease, batch, "ran", {})
            case "PARKED":
                answer = mailbox.park(lease, batch, "failed", 2_000, "boom")
            case "DISSOLVED":
                answer = mailbox.dissolve(lease, batch, 0, 0, 0, "busy")
            case _:
                answer = mailbox.bury(lease, batch, "attempts-exhausted", "boom")
        assert answer.status == expected

    @precondition(lambda self: "dead" in self.model.over.values())
    @rule(nth=NTH)
    def revive(self, nth: int) -> None:
        dead = sorted(wake for wake, fate in self.model.over.items() if fate == "dead")
        wake = dead[nth % len(dead)]
        assert self.rig.mailbox.revive(AGENT, POOL, wake).status == "REVIVED"
        self.model.arrive(wake, self.model.rank[wake][1])

    @invariant()
    def every_fate_is_as_the_model_says(self) -> None:
        named = [f"c{n}" for n in range(1, self.count + 1)]
        found = {where.completion_id: str(where.fate.value) for where in self.rig.ledger.where_all(named) if where}
        assert found == {wake: self.model.fate(wake) for wake in named}

    def _begun(self, batch: str, expected: str, answer: Any) -> None:
        if isinstance(answer, Begun):
            assert expected == "BEGUN"
            assert ids(answer.batch) == self.model.frozen[batch]
            assert answer.batch.attempt == self.model.batches[batch].attempt
        else:
            assert answer.status == expected


@pytest.mark.parametrize("examples", [4, pytest.param(60, marks=pytest.mark.slow)])
def test_any_order_of_calls_is_answered_as_the_model_says(redis_client: Any, examples: int) -> None:
    class OnThisServer(Machine):
        def __init__(self) -> None:
            super().__init__(redis_client)

    run_state_machine_as_test(OnThisServer, settings=settings(max_examples=examples, stateful_step_count=30))
