"""The tasks of producers and routers. Each translates; the deciding is done below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from celery import Task
from celery.exceptions import Reject

from dispatcher import names
from dispatcher.app import app, current_config, current_store
from dispatcher.causes import inherited_lineage
from dispatcher.core.errors import InboxFull, InvalidCompletion, StoreUnavailable
from dispatcher.doorbell import Doorbell
from dispatcher.result import CompletionResult
from dispatcher.routing import Router
from dispatcher.submit import completion_of, submit, submit_unusable


class SubmittingTask(Task):
    """A task whose publish is durable: the inbox entry first, the message that makes a router look second."""

    def delay(self, *args: Any, **kwargs: Any) -> CompletionResult:
        """Reports a finished exec. Takes the fields of `ExecCompletion` as keywords; without `completion_id` it gets one.

        Returns after the completion is durable. The same id again gets the first receipt. Raises InvalidCompletion and InboxFull
        (nothing was written), StoreUnavailable (unknown; the same id again is safe), ConfigError.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, task_id: str | None = None, **options: Any
    ) -> CompletionResult:
        """As `delay`. `task_id` stands for a missing `completion_id`. A later time is refused: when an agent runs is its policy's."""
        if args:
            raise InvalidCompletion("submit: exec_completed takes keywords only, as in .delay(session_key=…, exit_code=…, output=…)")
        if options.get("countdown") is not None or options.get("eta") is not None:
            raise InvalidCompletion("submit: countdown and eta are not supported; a completion is reported when it happened")
        words = dict(kwargs or {})
        if task_id and not words.get("completion_id"):
            words["completion_id"] = task_id
        if "lineage" not in words and (lineage := inherited_lineage()):
            words["lineage"] = lineage
        completion = completion_of(words)
        return CompletionResult(completion.completion_id, self.app, submit(completion))


# acks_late: the message of a foreign producer is the only copy until its body has submitted it.
@app.task(name=names.EXEC_COMPLETED, shared=False, base=SubmittingTask, bind=True, acks_late=True, reject_on_worker_lost=True)
def exec_completed(self: Task, *args: Any, **words: Any) -> dict[str, Any]:
    """Runs only for a raw `send_task` by a program without our class. Weaker: until it runs, the message is the only copy."""
    try:
        receipt = submit(completion_of({"completion_id": self.request.id} | words)) if not args else None
        receipt = receipt or submit_unusable({"args": args} | words, self.request.id)
    except InvalidCompletion:
        receipt = submit_unusable(words, self.request.id)
    except (InboxFull, StoreUnavailable) as error:
        raise Reject(error, requeue=True) from error
    return {"completion_id": receipt.completion_id, "duplicate": receipt.duplicate}


@app.task(name=names.ROUTE, shared=False)
def route() -> dict[str, int]:
    """Drains the inbox. What was done: completions per queue, and "dead", "suppressed"."""
    return router().drain_inbox()


@cache
def router() -> Router:
    """The router of this process."""
    return Router(current_store(), current_config(), Doorbell(app, current_config()))


__all__ = ["CompletionResult", "exec_completed", "route", "router"]
