"""Keys that name no single agent wake nobody; what an operator binds and revives wakes one, once."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.names import EXEC_COMPLETED, HEARTBEAT
from dispatcher.store.mailbox import Begun, Leased
from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S, Gateway, ids

UNUSABLE = {
    "node-x": "unbound-key",
    "global": "unbound-key",
    "main": "unbound-key",
    "agent::x": "malformed-key",
    "agent:ops": "malformed-key",
    "": "missing-key",
    "   ": "missing-key",
    "agent:ops:" + "k" * 10_240: "too-large",
    "agent:ops:\x1b[31mred": "malformed-key",
    "agent:ghost:main": "unknown-agent",
    "agent:*:main": "malformed-key",
}


@pytest.fixture
def served(gateway: Gateway) -> Gateway:
    """Router and worker run."""
    gateway.start_router()
    gateway.start_worker()
    gateway.ready()
    return gateway


def dead(gateway: Gateway) -> dict[str, str]:
    return {letter.completion_id: letter.reason for letter in gateway.store.ledger.dead_letters()}


def test_unusable_keys_through_delay(served: Gateway) -> None:
    """Each is a dead letter with its reason or an error that says why; none wakes anybody."""
    answers = {key: served.producer.delay(completion_id=f"k{n}", session_key=key, exit_code=1) for n, key in enumerate(UNUSABLE)}
    refused = {key for key, answer in answers.items() if "error" in answer}
    assert {key[:12] for key in refused} == {"agent:ops:kk", "agent:ops:\x1b["}
    assert {answers[key]["error"] for key in refused} == {"InvalidCompletion"}
    assert all("session_key" in answers[key]["message"] for key in refused)
    accepted = {answer["completion_id"]: UNUSABLE[key] for key, answer in answers.items() if key not in refused}
    served.quiet(accepted=len(accepted), dead=len(accepted))
    assert dead(served) == accepted
    served.producer.delay(completion_id="good", session_key="agent:ops:main", exit_code=1)
    served.quiet(settled=1)
    assert [beat.ids for beat in served.beats()] == [("good",)]


def test_unusable_keys_through_a_foreign_celery_program(served: Gateway) -> None:
    """Sent by task name alone, nobody is there to be told: each is accepted, and becomes a dead letter with its reason."""
    named = {f"k{n}": key for n, key in enumerate(UNUSABLE)}

    def send(app: Any) -> None:
        for completion_id, key in named.items():
            app.send_task(EXEC_COMPLETED, kwargs={"session_key": key, "exit_code": 1}, task_id=completion_id, queue="wake.inbox")
        app.send_task(EXEC_COMPLETED, args=("agent:ops:main",), task_id="positional", queue="wake.inbox")
        app.send_task(EXEC_COMPLETED, kwargs={"session_key": ["agent:ops:main"]}, task_id="list", queue="wake.inbox")
        app.send_task(EXEC_COMPLETED, kwargs={"session_key": None}, task_id="none", queue="wake.inbox")

    served.foreign(send)
    served.quiet(dead=len(named) + 3)
    found = dead(served)
    assert {i: found[i] for i in named} == {i: UNUSABLE[key] for i, key in named.items()}
    others = {"positional": "invalid-completion", "list": "malformed-key", "none": "malformed-key"}
    assert {i: reason for i, reason in found.items() if i not in named} == others
    assert served.beats() == []


def test_a_foreign_celery_program_reports_a_good_completion(served: Gateway) -> None:
    """Its task id is the completion id; sent twice it is one completion."""
    words = {"session_key": "agent:ops:main", "exit_code": 2, "output": "boom"}

    def send(app: Any) -> None:
        for _ in range(2):
            app.send_task(EXEC_COMPLETED, kwargs=words, task_id="task-1", queue="wake.inbox")
        app.send_task(EXEC_COMPLETED, kwargs=words | {"completion_id": "own-id"}, task_id="task-2", queue="wake.inbox")

    served.foreign(send)
    served.quiet(accepted=2, settled=2)
    assert sorted(i for beat in served.beats() for i in beat.ids) == ["own-id", "task-1"]
    assert served.producer.fate("task-1", 60) == {"fate": "settled"}


def test_a_foreign_celery_program_that_is_traced_is_so_here(gateway: Gateway) -> None:
    """By the headers of its message, as instrumented programs send them; what the completion itself says wins."""
    headers = {"traceparent": f"00-{7:032x}-{7:016x}-01", "tracestate": "a=b"}
    own = {"traceparent": f"00-{8:032x}-{8:016x}-01"}
    words = {"session_key": "agent:ops:main", "exit_code": 1}

    def send(app: Any) -> None:
        for completion_id, trace in (("by-header", {}), ("by-itself", {"trace": own})):
            app.send_task(EXEC_COMPLETED, kwargs=words | trace, task_id=completion_id, queue="wake.inbox", headers=dict(headers))
        app.send_task(EXEC_COMPLETED, kwargs=words, task_id="rubbish", queue="wake.inbox", headers={"traceparent": "00-x"})

    gateway.start_router()
    gateway.foreign(send)
    wait_until(lambda: gateway.store.ledger.balance().pending == 3, PATIENCE_S, "all are routed")

    def due() -> Leased | None:
        found = gateway.store.mailbox.acquire("ops", "agents", "worker.agents.host.1.abc", "n1")
        return found if isinstance(found, Leased) else None

    leased = wait_until(due, PATIENCE_S, "it is due")
    assert leased is not None
    begun = gateway.store.mailbox.begin(leased.lease, "agent:ops:main", ("event",), 5_000, 600_000)
    assert isinstance(begun, Begun)
    assert {wake.wake_id: wake.trace for wake in begun.batch.wakes} == {"by-header": headers, "by-itself": own, "rubbish": None}


def test_a_key_that_was_bound_later_is_revived_into_one_heartbeat(served: Gateway) -> None:
    """All its dead letters come with it; nobody else is woken."""
    sent = ids("n", 3)
    for completion_id in sent:
        served.producer.delay(completion_id=completion_id, session_key="node-x", exit_code=1)
    served.quiet(dead=3)
    served.store.bindings.bind("node-x", "ops")
    for completion_id in sent:
        assert served.store.inbox.revive(completion_id)
    served.quiet(accepted=3, settled=3, dead=0)
    (beat,) = served.beats()
    assert beat.agent_id == "ops"
    assert beat.session_key == "agent:ops:node-x"  # the node's own session with ops
    assert sorted(beat.ids) == sent


def test_a_doorbell_that_names_no_single_agent_is_refused(served: Gateway) -> None:
    """A list, nothing, a wildcard, an address: refused and said so, and nothing runs."""
    wrong: list[tuple[Any, ...]] = [(["ops", "lab"],), (["ops"],), (None,), ("*",), ("ops*",), ("OPS",), ("",), (), ({"agent": "ops"},)]
    served.configure(defaults={"window_ms": 3_600_000, "min_spacing_ms": 0})

    def send(app: Any) -> None:
        for args in wrong:
            app.send_task(HEARTBEAT, args=args, queue="wake.agents.00")

    served.foreign(send)
    worker = served.workers[-1]
    worker.hears("refused: it names no single agent", len(wrong))
    served.submit("still-works")
    served.quiet(settled=1)
    assert [beat.ids for beat in served.beats()] == [("still-works",)]


def test_a_foreign_doorbell_is_refused(gateway: Gateway) -> None:
    """A message on the queue of another pool does not make its worker run the agent."""
    gateway.configure(agents={"ops": {}, "lab": {}}, pools={"agents": {}, "research": {"agents": ["lab"], "partitions": 1}})
    gateway.start_router()
    research = gateway.start_worker("--pool", "research")
    gateway.ready()
    gateway.submit("waits")
    wait_until(lambda: gateway.store.ledger.balance().pending, PATIENCE_S, "the wake of ops lies in its mailbox")
    gateway.foreign(lambda app: app.send_task(HEARTBEAT, args=("ops",), queue="wake.research.00"))
    research.hears("foreign doorbell agent=ops refused")
    assert gateway.store.ledger.balance().pending == 1
    assert gateway.beats() == []
    gateway.start_worker()
    gateway.quiet(settled=1)


def test_each_pool_runs_its_own_agents(gateway: Gateway) -> None:
    """Two pools, two workers, four agents: every heartbeat runs under the worker of its agent's pool."""
    gateway.configure(agents={"ops": {}, "dev": {}, "lab-*": {}}, pools={"agents": {}, "research": {"agents": ["lab-*"], "partitions": 2}})
    gateway.start_router()
    agents, research = gateway.start_worker(), gateway.start_worker("--pool", "research")
    gateway.ready()
    for n in range(5):
        for agent_id in ("ops", "dev", "lab-1", "lab-2"):
            gateway.submit(f"{agent_id}.{n}", session=f"agent:{agent_id}:main")
    gateway.quiet(settled=20)
    parents = {beat.agent_id: beat.parent for beat in gateway.beats()}
    assert parents == {"ops": agents.pid, "dev": agents.pid, "lab-1": research.pid, "lab-2": research.pid}


def test_a_worker_of_one_agent(gateway: Gateway) -> None:
    """`worker --agent ops`: ops runs there and only there, the others do not."""
    gateway.configure(agents={"ops": {}, "lab": {}})
    gateway.start_router()
    alone = gateway.start_worker("--agent", "ops")
    gateway.ready()
    gateway.submit("o1")
    gateway.submit("l1", session="agent:lab:main")
    gateway.started(1, "ops")
    wait_until(lambda: gateway.store.ledger.balance().settled == 1, PATIENCE_S, "ops has run")
    assert gateway.store.ledger.balance().pending == 1
    general = gateway.start_worker()
    gateway.quiet(settled=2)
    gateway.submit("o2")
    gateway.submit("l2", session="agent:lab:main")
    gateway.quiet(settled=4)
    assert {(beat.agent_id, beat.parent) for beat in gateway.beats()} == {("ops", alone.pid), ("lab", general.pid)}


def test_a_worker_started_where_a_foreign_workers_package_lies(gateway: Gateway) -> None:
    """Ours runs, theirs is not even imported."""
    foreign = gateway.folder / "project" / "workers"
    foreign.mkdir(parents=True)
    trap = f"open({str(gateway.folder / 'trapped')!r}, 'w').close()\n"
    for name in ("__init__.py", "__main__.py", "app.py", "celery.py"):
        (foreign / name).write_text(trap)
    gateway.start("worker", "--route", cwd=foreign.parent)
    gateway.start("worker", "--pool", "agents", cwd=foreign.parent)
    gateway.ready()
    gateway.submit("c1")
    gateway.quiet(settled=1)
    assert not (gateway.folder / "trapped").exists()


def test_quiet_completions_are_recorded_and_wake_nobody(served: Gateway) -> None:
    """Success without a word, and what a person cancelled."""
    served.producer.delay(completion_id="silent", session_key="agent:ops:main", exit_code=0)
    served.producer.delay(completion_id="cancelled", session_key="agent:ops:main", exit_code=1, cancelled=True)
    served.producer.delay(completion_id="loud", session_key="agent:ops:main", exit_code=0, output="done")
    served.quiet(accepted=3, suppressed=2, settled=1)
    assert [beat.ids for beat in served.beats()] == [("loud",)]
    assert served.producer.fate("silent", 60) == {"fate": "suppressed"}
    assert served.producer.fate("cancelled", 60) == {"fate": "suppressed"}


def test_a_producer_that_tries_again_gets_the_first_receipt(served: Gateway) -> None:
    """Before and after the heartbeat; another content under the same id is an error."""
    words = {"completion_id": "c1", "session_key": "agent:ops:main", "exit_code": 1}
    first = served.producer.delay(**words)
    assert not first["duplicate"]
    assert served.producer.delay(**words) == first | {"duplicate": True}
    served.quiet(settled=1)
    assert served.producer.delay(**words) == first | {"duplicate": True}
    assert served.producer.delay(**words | {"exit_code": 2})["error"] == "IdConflict"
    served.quiet(accepted=1, settled=1)
    assert len(served.beats()) == 1
