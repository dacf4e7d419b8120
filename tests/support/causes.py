"""Each cause of `wake explain`, brought about on a real server: agent ops is in it afterwards."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from dispatcher.core.models import Batch, Lease
from dispatcher.core.snapshot import Deferral
from dispatcher.store.mailbox import Begun, Leased
from dispatcher.submit import submit_completion
from tests.support.wake_cli import TOML, WakeCli, present

ROUTER, WORKER, OTHER = "router.inbox.host.1.ab", "worker.agents.host.2.cd", "worker.agents.other.3.ef"
LATER_MS = 600_000


def configured(wake: WakeCli, *lines: str, agents: str = "", tables: str = "") -> None:
    """With these lines in [defaults]."""
    wake.configure(
        TOML.replace("window_ms = 0", "\n".join(("window_ms = 0", *lines))).replace("[agents.ops]", f"[agents.ops]{agents}") + tables
    )


def leased(wake: WakeCli, holder: str = WORKER) -> Leased:
    found = wake.store.mailbox.acquire("ops", "agents", holder, secrets.token_hex(4))
    assert isinstance(found, Leased), found
    return found


def begun(wake: WakeCli, holder: str = WORKER) -> tuple[Lease, Batch]:
    wake.deposit("c1")
    lease = leased(wake, holder).lease
    found = wake.store.mailbox.begin(lease, "agent:ops:main", ("event",), 5000, LATER_MS)
    assert isinstance(found, Begun), found
    return lease, found.batch


def deferred(wake: WakeCli, reason: str, kind: str = "event") -> None:
    found = leased(wake)
    until_ms = found.snapshot.now_ms + LATER_MS
    assert wake.store.mailbox.defer(found.lease, found.snapshot.seq, [Deferral(kind, until_ms, reason)]).status == "DEFERRED"


def running(wake: WakeCli) -> None:
    begun(wake)


def lease_live(wake: WakeCli) -> None:
    wake.deposit("c1")
    leased(wake)


def lease_dead(wake: WakeCli) -> None:
    begun(wake, OTHER)


def waits(wake: WakeCli) -> None:
    wake.deposit("c1")


def accepted(wake: WakeCli) -> None:
    wake.submit("c1")


def paused(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.json("pause", "ops", "--reason", "deploy")


def draining(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.json("drain", "ops", "--reason", "moves")


def disabled(wake: WakeCli) -> None:
    wake.deposit("c1")
    configured(wake, agents="\nenabled = false")


def unknown(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.configure("[agents.research]")


def quiet_hours(wake: WakeCli) -> None:
    configured(wake, 'active_hours = { start = "00:00", end = "00:00" }')
    wake.deposit("c1")


def min_spacing(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.heartbeat()
    wake.configure(TOML.replace("min_spacing_ms = 0", "min_spacing_ms = 3600000"))
    wake.deposit("c2")


def flood(wake: WakeCli) -> None:
    configured(wake, "flood_starts = 1")
    wake.deposit("c1")
    wake.heartbeat()
    wake.deposit("c2")


def budget(wake: WakeCli) -> None:
    configured(wake, "budget_per_day = 1")
    wake.deposit("c1")
    wake.heartbeat()
    wake.deposit("c2")


def setting_aside(wake: WakeCli) -> None:
    configured(wake, "budget_per_day = 1", 'over_budget = "dead-letter"')
    wake.deposit("c1")
    wake.heartbeat()
    wake.deposit("c2")


def cap(wake: WakeCli) -> None:
    configured(wake, tables="[caps]\nmax_running = 1\n")
    wake.deposit("c1")
    deferred(wake, "cap")


def release(wake: WakeCli) -> None:
    configured(wake, tables="[caps]\noverdue_ms = 1\n")
    wake.deposit("c1")
    wake.settle_time()
    deferred(wake, "release")


def lineage(wake: WakeCli) -> None:
    configured(wake, "max_lineage_depth = 1", "lineage_spacing_ms = 3600000")
    wake.deposit("c1")
    wake.heartbeat()
    chain = {"root": "c1", "depth": 2, "agent_id": "ops"}
    submit_completion({"completion_id": "c2", "session_key": "agent:ops:main", "exit_code": 1, "lineage": chain})
    wake.route()


def busy(wake: WakeCli) -> None:
    lease, batch = begun(wake)
    wake.store.mailbox.dissolve(lease, batch.batch_id, LATER_MS, LATER_MS, LATER_MS, "requests-in-flight")


def retry(wake: WakeCli) -> None:
    lease, batch = begun(wake)
    wake.store.mailbox.park(lease, batch.batch_id, "failed", LATER_MS, "boom")


def letters_full(wake: WakeCli) -> None:
    lease, batch = begun(wake)
    wake.store.mailbox.park(lease, batch.batch_id, "failed", 0, "boom")
    deferred(wake, "dead-letters-full", f"batch:{batch.batch_id}")


def window(wake: WakeCli) -> None:
    wake.configure(TOML.replace("window_ms = 0", "window_ms = 3600000"))
    wake.deposit("c1")


def rider(wake: WakeCli) -> None:
    wake.deposit("c1", "agent:ops:subagent:x")


def dead_lettered(wake: WakeCli) -> None:
    wake.deposit("c1")
    wake.bury()


def nothing(_: WakeCli) -> None:
    """An agent sleeps."""


BROUGHT_ABOUT: dict[str, Callable[[WakeCli], None]] = {
    "running": running,
    "lease-live": lease_live,
    "lease-dead": lease_dead,
    "no-worker": waits,
    "no-router": accepted,
    "not-routed": accepted,
    "paused": paused,
    "draining": draining,
    "agent-disabled": disabled,
    "unknown-agent": unknown,
    "quiet-hours": quiet_hours,
    "min-spacing": min_spacing,
    "flood": flood,
    "budget": budget,
    "cap": cap,
    "release": release,
    "lineage": lineage,
    "busy": busy,
    "retry": retry,
    "dead-letters-full": letters_full,
    "window": window,
    "rider": rider,
    "due": waits,
    "setting-aside": setting_aside,
    "dead-lettered": dead_lettered,
    "nothing-waiting": nothing,
}
ABSENT = {"no-router": ROUTER, "no-worker": WORKER}


@contextmanager
def brought_about(wake: WakeCli, cause: str) -> Iterator[None]:
    """A router and a worker are there, unless the cause is that one is not."""
    with ExitStack() as there:
        there.enter_context(present(wake, *({ROUTER, WORKER} - {ABSENT.get(cause, "")})))
        BROUGHT_ABOUT[cause](wake)
        yield
