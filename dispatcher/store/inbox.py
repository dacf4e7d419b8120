"""The inbox: every accepted completion lies here until its owner's mailbox has it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from redis.exceptions import RedisError, ResponseError

from dispatcher.core.errors import IdConflict, InboxFull
from dispatcher.core.models import Receipt
from dispatcher.store.connect import unavailable
from dispatcher.store.entries import Claimed, InboxEntry, entry_ms, entry_of
from dispatcher.store.keys import Keys
from dispatcher.store.limits import StoreLimits
from dispatcher.store.scripts import Argument, Call, Caller, PostedCalls, Reply
from dispatcher.store.wire import packed

GROUP = "routers"
PAGE, PAGE_CHARS = 200, 256 * 1024  # of submissions in one step
NO_CAUSES: Mapping[str, str] = {}
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
Answer = tuple[Receipt, bool] | IdConflict | InboxFull  # the receipt, and whether routers must be told


class Submission(NamedTuple):
    """One completion as it is written: its id, a digest that tells a duplicate from a conflict, and its JSON.

    `at_ms` other than 0 stands in for the time of its acceptance, for simulation only.
    """

    completion_id: str
    digest: str
    body: str
    at_ms: int = 0


class Inbox:
    """One method per step. Every method raises StoreUnavailable when the server does not answer.

    `now_ms` other than 0 stands in for the server clock, for simulation and tests only.
    """

    def __init__(self, caller: Caller, keys: Keys, limits: StoreLimits) -> None:
        self._caller, self._keys, self._limits = caller, keys, limits
        self.now_ms = 0

    def prepare(self) -> None:
        """Creates the routers' group if it is missing. Entries that were appended before are in it."""
        with unavailable("prepare inbox"):
            try:
                self._caller.client.xgroup_create(self._keys.inbox["stream"], GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def submit(self, submission: Submission, now_ms: int = 0) -> tuple[Receipt, bool]:
        """Accepts one completion durably; the receipt, and whether routers must be told (the inbox is not announced yet).

        The same id with the same content answers the first receipt as a duplicate. Raises IdConflict or InboxFull; then
        nothing was written. Raises StoreUnavailable; then it is unknown, and submitting the same id again is safe.
        """
        return self.submit_all([submission], now_ms)[0]

    def submit_all(self, submissions: Sequence[Submission], now_ms: int = 0) -> list[tuple[Receipt, bool]]:
        """As `submit`, in one round trip. Raises the error of the first that was refused; those before and after it stand."""
        answers = self.submit_each(submissions, now_ms)
        for answer in answers:
            if isinstance(answer, IdConflict | InboxFull):
                raise answer
        return [answer for answer in answers if isinstance(answer, tuple)]

    def submit_each(self, submissions: Sequence[Submission], now_ms: int = 0) -> list[Answer]:
        """As `submit_all`; what was refused has its error in its place."""
        pages = list(_pages(submissions))
        with unavailable(f"submit completion={submissions[0].completion_id if len(submissions) == 1 else len(submissions)}"):
            replies = self._caller.call_all([self._submits(page, now_ms) for page in pages])
        return [answer for page, reply in zip(pages, replies, strict=True) for answer in _answers(page, reply)]

    def post(self, submissions: Sequence[Submission]) -> PostedPage:
        """Sends them without waiting for the answers, so that the caller prepares the next ones meanwhile. Raises nothing."""
        pages = list(_pages(submissions))
        try:
            return PostedPage(self, pages, self._caller.post_all([self._submits(page, 0) for page in pages]))
        except (RedisError, OSError):
            return PostedPage(self, pages, None)

    def _submits(self, page: Sequence[Submission], now_ms: int) -> Call:
        limits = self._limits
        words: dict[str, Argument] = {
            "now": now_ms or self.now_ms,
            "page": _dumps([(s.completion_id, s.digest, s.body, s.at_ms) for s in page]),
            "dedupe_ms": limits.dedupe_ms,
            "max_ids": limits.max_ids,
            "max_inbox": limits.max_inbox,
            "announce_ms": limits.announce_ms,
        }
        return Call("submit", self._keys.inbox, words)

    def claim(self, consumer: str, limit: int, idle_ms: int | None = None, *, stay_ms: int = 0) -> Claimed:
        """Takes up to `limit` entries: those of routers that stayed silent for `idle_ms` first, then new ones.

        `stay_ms`: whoever calls comes again within it, so that producers need not tell routers before then.
        """
        with unavailable("claim inbox entries"):
            reply = self._claim(consumer, limit, self._limits.idle_ms if idle_ms is None else idle_ms, stay_ms)
        read_at, taken = reply.rest
        return Claimed(int(read_at), [entry_of(*item) for item in json.loads(taken)])

    def _claim(self, consumer: str, limit: int, idle_ms: int, stay_ms: int) -> Reply:
        words: dict[str, Argument] = {"group": GROUP, "consumer": consumer, "limit": limit, "idle_ms": idle_ms, "stay_ms": stay_ms}
        for again in (True, False):
            try:
                return self._caller.call("claim", self._keys.inbox, now=self.now_ms, **words)
            except ResponseError as error:
                if "NOGROUP" not in str(error) or not again:
                    raise
                self.prepare()  # the server lost its data under a running router
        raise AssertionError("unreachable")

    def wait(self, consumer: str, limit: int, within_ms: int) -> Claimed | None:
        """As `claim`, of new entries only, as soon as there is one; none after `within_ms`, which must be less than the client's timeout.

        None where there is nothing to wait at: the server lost its data, and a claim makes the group anew.
        """
        stream = self._keys.inbox["stream"]
        words = ("GROUP", GROUP, consumer, "COUNT", limit, "BLOCK", max(1, within_ms), "STREAMS", stream, ">")
        with unavailable("wait at the inbox"):
            (seconds, micros), found = self._caller.wire.exchange([packed("TIME"), packed("XREADGROUP", *words)])
            if isinstance(found, ResponseError):
                if "NOGROUP" in str(found):
                    return None
                raise found
        read_at_ms = int(seconds) * 1000 + int(micros) // 1000  # before the read, however long that waited
        return Claimed(read_at_ms, [entry_of(entry, 1, fields) for entry, fields in found[0][1]] if found else [])

    def oldest_entry_ms(self) -> int:
        """The time in the id of the oldest entry that is still here; without one, the server's time."""
        with unavailable("read the oldest inbox entry"):
            seconds, micros = self._caller.client.time()
            first = self._caller.client.xrange(self._keys.inbox["stream"], count=1)
        return entry_ms(first[0][0]) if first else int(seconds) * 1000 + int(micros) // 1000

    def pin(self, pins: dict[str, str]) -> dict[str, str]:
        """Notes the owner that was found for entries whose key says nothing about it, before they are deposited. Tells whom the notes name.

        The first note of an entry holds, for every router: neither a binding that changed in between nor a router that was slow
        may wake a second agent.
        """
        if not pins:
            return {}
        pipe = self._caller.client.pipeline(transaction=False)
        for entry, owner in pins.items():
            pipe.hsetnx(self._keys.inbox["pins"], entry, owner)
        pipe.hmget(self._keys.inbox["pins"], list(pins))
        with unavailable("pin inbox entries"):
            held = pipe.execute()[-1]
        return {entry: there or owner for (entry, owner), there in zip(pins.items(), held, strict=True)}

    def pinned(self, entries: Sequence[str]) -> dict[str, str]:
        with unavailable("read pins"):
            found = self._caller.client.hmget(self._keys.inbox["pins"], entries) if entries else []
        return {entry: pin for entry, pin in zip(entries, found, strict=True) if pin}

    def acknowledge(self, done: Iterable[tuple[InboxEntry, str, str]], causes: Mapping[str, str] = NO_CAUSES) -> None:
        """Settles entries whose wake is deposited: (entry, agent id, via). `causes`: entry -> the agent whose heartbeat caused it.

        One step for all of them: at most a page of the inbox, so that the server is not held up for long.
        """
        words = [(e.entry, e.completion_id, agent, via, causes.get(e.entry, ""), e.revival) for e, agent, via in done]
        if words:
            with unavailable("acknowledge inbox entries"):
                self._caller.call("acknowledge", self._keys.inbox, group=GROUP, done=json.dumps(words))

    def reject(self, entry: InboxEntry, reason: str, letter: dict[str, Any]) -> Literal["REJECTED", "GONE", "DEAD_FULL"]:
        """An ownerless entry becomes a dead letter and leaves the inbox. DEAD_FULL: nothing was written, the entry stays."""
        record = {"revival": entry.revival, "at": entry.accepted_at_ms, "body": entry.body, "reason": reason} | letter
        with unavailable(f"reject completion={entry.completion_id}"):
            reply = self._caller.call(
                "reject",
                self._keys.inbox,
                group=GROUP,
                entry=entry.entry,
                id=entry.completion_id,
                reason=reason,
                letter=json.dumps(record),
                max_dead=self._limits.max_dead,
            )
        return reply.status  # type: ignore[return-value]  # the header of reject.lua declares just these three words

    def revive(self, completion_id: str) -> bool:
        """An ownerless dead letter is resolved afresh. False if there is none of this id."""
        with unavailable(f"revive completion={completion_id}"):
            return (
                self._caller.call("revive_inbox", self._keys.inbox, id=completion_id, announce_ms=self._limits.announce_ms).status
                == "REVIVED"
            )

    def reroute(self, completion_id: str, agent_id: str, via: str, revival: int) -> None:
        """Corrects the receipt of a completion whose revival was deposited with another owner."""
        with unavailable(f"revive completion={completion_id} agent={agent_id}"):
            self._caller.call("reroute", self._keys.inbox, id=completion_id, agent=agent_id, via=via, revival=revival)

    def drop(self, completion_id: str, reason: str = "operator", before_ms: int = 0) -> bool:
        """An ownerless dead letter is dropped for good; with `before_ms` only one that has been dead since before then."""
        with unavailable(f"drop completion={completion_id}"):
            reply = self._caller.call("drop_inbox", self._keys.inbox, id=completion_id, reason=reason, before=before_ms)
        return reply.status == "DROPPED"


class PostedPage:
    """Submissions that are on their way."""

    def __init__(self, inbox: Inbox, pages: list[Sequence[Submission]], calls: PostedCalls | None) -> None:
        self._inbox, self._pages, self._calls = inbox, pages, calls

    def answers(self) -> list[Answer]:
        """As `submit_each`, which it is when something went wrong on the way: under the same ids that does no harm. To be called once."""
        calls, self._calls = self._calls, None
        if calls is not None:
            try:
                return [answer for page, reply in zip(self._pages, calls.replies(), strict=True) for answer in _answers(page, reply)]
            except (RedisError, OSError):
                pass
        return self._inbox.submit_each([submission for page in self._pages for submission in page])


def _pages(submissions: Sequence[Submission]) -> Iterator[Sequence[Submission]]:
    """Few enough, and short enough, that the server is not held up for long by one of them."""
    start, chars = 0, 0
    for end, submission in enumerate(submissions):
        chars += len(submission.body)
        if end > start and (end - start >= PAGE or chars > PAGE_CHARS):
            yield submissions[start:end]
            start, chars = end, len(submission.body)
    if start < len(submissions):
        yield submissions[start:]


def _answers(page: Sequence[Submission], reply: Reply) -> Iterator[Answer]:
    announce, answers = reply.rest
    for submission, (status, *rest) in zip(page, json.loads(answers), strict=True):
        yield _answer(submission.completion_id, status, rest, announce == 1 and status == "ACCEPTED")


def _answer(completion_id: str, status: str, rest: list[Any], announce: bool) -> Answer:
    match status:
        case "ACCEPTED" | "DUPLICATE":
            entry, at = rest
            receipt = Receipt(completion_id=completion_id, entry_id=entry, accepted_at_ms=int(at), duplicate=status == "DUPLICATE")
            return receipt, announce
        case "ID_CONFLICT":
            return IdConflict(
                f"submit completion={completion_id}: this id was accepted with another session key or payload (id-conflict); "
                "give every exec an id of its own"
            )
        case _:
            return InboxFull(f"submit completion={completion_id}: the inbox holds {rest[0]} entries, its bound; try again later", 5.0)
