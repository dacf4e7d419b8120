"""Wake Dispatcher: when an exec ends, the one agent that owns it takes one more turn, with every result that came in.

    from dispatcher import batch, exec_completed
    exec_completed.delay(session_key="agent:ops:main", exit_code=0, output="done")

    with batch():  # many, in few round trips
        for end in ends:
            exec_completed.delay(session_key=end.key, exit_code=end.code)

The path of a completion, and the module that knows it:

    core       values and decisions, without a client or a clock
    names      task and queue names
    config     wake.toml and the environment
    store      mailboxes, leases, the due index: one atomic Lua step each
    routing    session key -> exactly one agent; inbox -> mailbox
    doorbell   the message that says "look into your mailbox", and carries nothing
    app, tasks the Celery side: `exec_completed` and `wake_requested` for producers, `dispatcher.route` for the router
    http       the ingress over HTTP
    metrics    one page of metrics for the whole store
    tokens     who may report for which agents
    cli        the `wake` command
    workers    (a package beside this one) leases, runs and settles heartbeats

Importing this package, or a model, loads no Celery and opens no connection: the task is loaded when it is first asked for.
DESIGN.md beside this file says who is authoritative for what, and what happens on each failure.
"""

from __future__ import annotations

from importlib import import_module

from dispatcher.core.errors import BatchIncomplete, InboxFull, InvalidCompletion, StoreUnavailable

TYPE_CHECKING = False  # importing typing would double what `wake exec` costs before the user's command starts
if TYPE_CHECKING:
    from dispatcher.bulk import batch
    from dispatcher.tasks import CompletionResult, exec_completed, wake_requested

__all__ = [
    "BatchIncomplete",
    "CompletionResult",
    "InboxFull",
    "InvalidCompletion",
    "StoreUnavailable",
    "__version__",
    "batch",
    "exec_completed",
    "wake_requested",
]
__version__ = "0.1.0"

_LAZY = {"CompletionResult": "tasks", "exec_completed": "tasks", "wake_requested": "tasks", "batch": "bulk"}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"dispatcher.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
