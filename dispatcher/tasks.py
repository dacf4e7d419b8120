"""The tasks of producers and routers. Each translates; the deciding is done below."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from celery.exceptions import Reject

from dispatcher import names
from dispatcher.app import app, current_config, current_store
from dispatcher.broker import PlainTask
from dispatcher.bulk import current_batch
from dispatcher.causes import inherited
from dispatcher.core.errors import InboxFull, InvalidCompletion, StoreUnavailable
from dispatcher.core.models import ExecCompletion
from dispatcher.core.reported import Reported
from dispatcher.core.trace_context import trace_context
from dispatcher.doorbell import Doorbell
from dispatcher.result import CompletionResult
from dispatcher.routing import Router
from dispatcher.submit import completion_of, submit, submit_unusable, wake_request_of

STAY_S = 5.0  # for this long after a message that says look, nobody need send another one


class SubmittingTask(PlainTask):
    """A task whose publish is durable: the inbox entry first, the message that makes a router look second."""

    id_field = "completion_id"
    read: Callable[[Mapping[str, Any]], Reported] = staticmethod(completion_of)

    def delay(self, *args: Any, **kwargs: Any) -> CompletionResult:
        """Reports a finished exec. Takes the fields of `ExecCompletion` as keywords; without `completion_id` it gets one.

        Returns after the completion is durable; inside `with batch():` it is so when the block ends. The same id again gets the first
        receipt. Raises InvalidCompletion and InboxFull (nothing was written), StoreUnavailable (unknown; the same id again is safe),
        ConfigError.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, task_id: str | None = None, **options: Any
    ) -> CompletionResult:
        """As `delay`. `task_id` stands for a missing id. A later time is refused: when an agent runs is its policy's."""
        if args:
            raise InvalidCompletion(f"submit: {self.name.partition('.')[2]} takes keywords only, as in .delay(session_key=…)")
        if options.get("countdown") is not None or options.get("eta") is not None:
            raise InvalidCompletion("submit: countdown and eta are not supported; a completion is reported when it happened")
        words = dict(kwargs or {})
        if task_id and not words.get(self.id_field):
            words[self.id_field] = task_id
        gathered = current_batch()
        reported = self.read((inherited(gathered.surroundings) if gathered else inherited()) | words)
        if gathered is not None and isinstance(reported, ExecCompletion):
            result = CompletionResult(reported.completion_id, self.app)
            gathered.add(reported, result)
            return result
        return CompletionResult(reported.completion_id, self.app, submit(reported))

    def submit_raw(self, args: Sequence[Any], words: dict[str, Any]) -> dict[str, Any]:
        """What a raw `send_task` carries is submitted by the router that runs it; its task id stands for a missing id.

        So do trace headers of the message for a missing trace, as an instrumented Celery program sends them; never the router's own.
        """
        task_id = self.request.id
        found = trace_context({name: str(value) for name, value in (self.request.headers or {}).items()})
        assumed = {self.id_field: task_id} | ({"trace": found} if found else {})
        try:
            receipt = submit(self.read(assumed | words)) if not args else None
            receipt = receipt or submit_unusable({"args": args} | words, task_id)
        except InvalidCompletion:
            receipt = submit_unusable(words, task_id)
        except (InboxFull, StoreUnavailable) as error:
            raise Reject(error, requeue=True) from error
        return {self.id_field: receipt.completion_id, "duplicate": receipt.duplicate}


class WakingTask(SubmittingTask):
    """As SubmittingTask, for a wake that somebody asks for."""

    id_field = "wake_id"
    read = staticmethod(wake_request_of)

    def delay(self, *args: Any, **kwargs: Any) -> CompletionResult:
        """Asks for a turn of one agent. Takes the fields of `WakeRequest` as keywords; without `wake_id` it gets one.

        Returns and raises as `exec_completed.delay`.
        """
        return self.apply_async(args, kwargs)


# acks_late: the message of a foreign producer is the only copy until its body has submitted it.
@app.task(name=names.EXEC_COMPLETED, shared=False, base=SubmittingTask, bind=True, acks_late=True, reject_on_worker_lost=True)
def exec_completed(self: SubmittingTask, *args: Any, **words: Any) -> dict[str, Any]:
    """Runs only for a raw `send_task` by a program without our class. Weaker: until it runs, the message is the only copy."""
    return self.submit_raw(args, words)


@app.task(name=names.WAKE_REQUESTED, shared=False, base=WakingTask, bind=True, acks_late=True, reject_on_worker_lost=True)
def wake_requested(self: WakingTask, *args: Any, **words: Any) -> dict[str, Any]:
    """As `exec_completed`, for a wake that somebody asks for."""
    return self.submit_raw(args, words)


@app.task(name=names.ROUTE, shared=False)
def route() -> dict[str, int]:
    """Drains the inbox, and what comes within five seconds. What was done: completions per queue, and "dead", "suppressed"."""
    return router().drain_inbox(stay_s=STAY_S)


@cache
def router() -> Router:
    """The router of this process."""
    return Router(current_store(), current_config(), Doorbell(app, current_store(), current_config()))


__all__ = ["CompletionResult", "exec_completed", "route", "router", "wake_requested"]
