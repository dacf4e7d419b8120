"""Many completions in few round trips: what is reported inside `with batch():` is gathered and goes out in pages."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Protocol

from dispatcher import spool
from dispatcher.app import current_config, current_store
from dispatcher.causes import surroundings
from dispatcher.core.errors import BatchIncomplete, IdConflict, InboxFull, StoreUnavailable, WakeError
from dispatcher.core.models import ExecCompletion, Receipt
from dispatcher.store.inbox import Answer, PostedPage, Submission
from dispatcher.submit import announce_inbox, submission_of, submit_completion

log = logging.getLogger(__name__)
PAGE = 200  # so much goes into a socket's buffer, and its answers come back, while the next page is prepared
FLUSH_S = 2.0  # no file of the spool but the first is begun after this long


class Awaiting(Protocol):
    """What `.delay()` handed back; its receipt is set when the answer is there."""

    receipt: Receipt | None


Page = list[tuple[Submission, Awaiting]]


class Batch:
    """What was reported in one block. `ids` in the order of the calls; `receipts` of those that the server took, by id.

    `kept`: ids that lie in the spool, because the server could not take them. The next `wake exec`, `wake spool flush` or batch on this
    host delivers them.
    """

    def __init__(self, page: int) -> None:
        self.ids: list[str] = []
        self.receipts: dict[str, Receipt] = {}
        self.kept: list[str] = []
        self.open = True
        self.surroundings = surroundings()
        self._page = page
        self._waiting: Page = []
        self._out: tuple[Page, PostedPage] | None = None
        self._refused: dict[str, str] = {}
        self._trouble: WakeError | None = None

    def add(self, completion: ExecCompletion, result: Awaiting) -> None:
        """Gathers one completion whose id is fixed; a page that is full goes out. Raises InvalidCompletion for what cannot be written."""
        self._waiting.append((submission_of(completion), result))
        self.ids.append(completion.completion_id)
        if len(self._waiting) >= self._page:
            self._send()

    def end(self) -> None:
        """Sends what is left. Raises BatchIncomplete when something was refused, or could neither be sent nor kept."""
        self._send()
        self._receive()
        if self.kept:
            log.warning("batch: %d completions are kept in the spool, see `wake spool list`: %s", len(self.kept), self._trouble)
        elif self.receipts:
            self._flush()
        if self._refused:
            raise BatchIncomplete(len(self.ids), self._refused)

    def _send(self) -> None:
        """The page goes out. What is still to come is prepared while the server is at it."""
        self._receive()
        page, self._waiting = self._waiting, []
        submissions = [submission for submission, _ in page]
        try:
            if page and self._trouble is None:
                self._out = page, current_store().inbox.post(submissions)
                return
        except StoreUnavailable as error:  # no embedded server runs, so there is not even an address
            self._trouble = error
        self._keep(submissions)

    def _receive(self) -> None:
        """The answers to the page that is out."""
        if self._out is None:
            return
        (page, posted), self._out = self._out, None
        try:
            answers = posted.answers()
        except StoreUnavailable as error:
            # Whether it took effect is unknown; under the same ids a second delivery is answered as a duplicate.
            self._trouble = error
            self._keep([submission for submission, _ in page])
        else:
            self._note(page, answers)

    def _note(self, page: Page, answers: list[Answer]) -> None:
        full: list[Submission] = []
        announce = False
        for (submission, result), answer in zip(page, answers, strict=True):
            if isinstance(answer, IdConflict):
                self._refused[submission.completion_id] = str(answer)
            elif isinstance(answer, InboxFull):
                self._trouble = answer
                full.append(submission)
            else:
                result.receipt, announced = answer
                self.receipts[submission.completion_id] = result.receipt
                announce = announce or announced
        if announce:
            announce_inbox()
        self._keep(full)

    def _keep(self, submissions: list[Submission]) -> None:
        config = current_config()
        for one in submissions:
            try:
                spool.write(config.data_dir / "spool", json.loads(one.body), config.bounds.max_spool)
            except OSError as error:
                self._refused[one.completion_id] = f"neither sent ({self._trouble}) nor kept ({error}); report it again"
            else:
                self.kept.append(one.completion_id)

    def _flush(self) -> None:
        """What an earlier one could not hand over: the server answers again."""
        try:
            report = spool.flush(current_config().data_dir / "spool", submit_completion, stop_after_s=FLUSH_S)
        except OSError as error:
            log.warning("batch: the spool cannot be read: %s", error)
            return
        if report.trouble:
            log.warning("batch: %d kept completions are left in the spool: %s", report.left, report.trouble)


_current: ContextVar[Batch | None] = ContextVar("batch", default=None)


def current_batch() -> Batch | None:
    """The batch of the block that we are in; a task or thread that outlives the block is in none."""
    found = _current.get()
    return found if found and found.open else None


@contextmanager
def batch(page: int = PAGE) -> Iterator[Batch]:
    """Inside the block, `exec_completed.delay(…)` gathers, and `page` completions at a time go out in one round trip.

    A completion is durable when its page was answered, at the latest when the block has ended, not when its `.delay()` returns; then
    the receipt of its result is set. What the environment says of its cause is read when the block begins. What was reported before the
    block raised is sent all the same. While the server cannot take them, completions are kept in the spool: they are `kept`, a warning
    says so, and nothing is raised. Raises BatchIncomplete at the end for ids that were refused (id-conflict) or could not even be kept;
    all others stand. A fault of the words of one call is raised by that call.
    """
    gathered = Batch(page)
    token = _current.set(gathered)
    try:
        yield gathered
    except BaseException as error:
        try:
            _close(gathered, token)
        except WakeError as incomplete:
            error.add_note(str(incomplete))
        raise
    _close(gathered, token)


def _close(gathered: Batch, token: Token[Batch | None]) -> None:
    gathered.open = False
    _current.reset(token)
    gathered.end()
