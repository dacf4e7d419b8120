"""Parties that run the real code one Lua step at a time: each waits before its next call until it is told to go on, or to die."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import redis

from dispatcher.store.direct import DirectCaller
from dispatcher.store.scripts import Argument, Call, Reply

PATIENCE_S = 120  # between two steps of a party lies no waiting, only a busy machine
GO, CRASH, LOSE_CALL, LOSE_REPLY = "go", "crash", "lose-call", "lose-reply"


class Crashed(BaseException):
    """What a party meets that dies before its next call; no handler of the code under test catches it."""


class Party:
    """One piece of work in a thread of its own, of which only one runs at a time. `at`: the call it stands before, or nothing when idle."""

    def __init__(self, name: str) -> None:
        self.name, self.at, self._word = name, "", GO
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None

    def start(self, work: Callable[[], object]) -> None:
        """Runs until it stands before its first call, or ends."""
        assert not self.at, f"{self.name} is busy"
        threading.Thread(target=self._run, args=(work,), name=self.name, daemon=True).start()
        self._wait()

    def step(self, word: str = GO) -> None:
        """Makes its next call and runs up to the one after it. Raises what the work raised."""
        self._word = word
        self._go.release()
        self._wait()

    def crash(self) -> None:
        while self.at:
            self.step(CRASH)

    def before(self, call: str) -> str:
        """For the party itself: stands before this call until it is told how it goes on."""
        self.at = call
        self._stopped.release()
        self._go.acquire()
        if self._word == CRASH:
            raise Crashed
        return self._word

    def _wait(self) -> None:
        assert self._stopped.acquire(timeout=PATIENCE_S), f"{self.name} hangs after {self.at}"
        error, self._error = self._error, None
        if error:
            raise error

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Crashed:
            pass
        except BaseException as error:  # noqa: BLE001  # it is raised where the party is stepped
            self._error = error
        self.at = ""
        self._stopped.release()


class SteppedCaller(DirectCaller):
    """Makes calls one by one, each when its party may; tells `observe` of each, and every step the virtual time of its call."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.party: Party | None = None  # nobody waits for a call of the test itself
        self.now_ms: Callable[[], int] = lambda: 0
        self.observe: Callable[[Call, Reply], object] = lambda _call, _reply: None

    def call_all(self, calls: list[Call], *, apart: bool = False) -> list[Reply]:
        if self.party:
            return [self._one(self.party.before(call.script), call, apart) for call in calls]
        return self._make([self._timed(call) for call in calls], apart)

    def _one(self, word: str, call: Call, apart: bool) -> Reply:
        if word == LOSE_CALL:
            raise redis.ConnectionError("the call was lost")
        (reply,) = self._make([self._timed(call)], apart)
        if word == LOSE_REPLY:
            raise redis.ConnectionError("the reply was lost")
        return reply

    def _make(self, calls: list[Call], apart: bool) -> list[Reply]:
        replies = super().call_all(calls, apart=apart)
        for call, reply in zip(calls, replies, strict=True):
            self.observe(call, reply)
        return replies

    def _timed(self, call: Call) -> Call:
        """With the clock of the server when the call gets there."""
        args: dict[str, Argument] = dict(call.args)
        return Call(call.script, call.keys, args | {"now": self.now_ms()} if "now" in args else args)
