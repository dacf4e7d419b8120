"""The `python` runner: a heartbeat is one call of a function in this process.

The function is called in the calling thread, so that the heartbeat's lease and its place in the pool stay taken exactly until it returns,
whatever it does; nothing in Python can end it from outside. Cancelling needs no thread either: `lost`, `cancel` and `stop` set the cancel
event themselves, and a timer does at the time limit.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import Literal

from dispatcher.causes import heartbeat_of
from dispatcher.core.exec_text import clean
from dispatcher.core.models import Busy, Failed, HeartbeatRequest, Outcome, Ran, Skipped
from workers.runners.protocol import ERROR_CHARS, NOTE_CHARS, Control, RunResult, Why, broken_off

FUNCTIONS = 256  # whose parameters are remembered


@dataclass(frozen=True)
class PythonRunner:
    """Calls `target` (`module:callable`) with the request and, if it asks for one, a cancel event.

    It asks with a parameter named `cancel`, or with a second positional parameter without a default. The answer: None or True is Ran, False
    is Ran that came to nothing, an Outcome is itself, an exception is Failed. The event is set at the time limit, when the lease is lost,
    when an operator cancels and when the worker leaves; the call is waited for in each case. After the first two the answer is Failed
    whatever the function said. After the others, a function that took the event and then raised or returned None counts as cancelled; any
    other answer stands.
    """

    target: str

    def run(self, request: HeartbeatRequest, control: Control) -> RunResult:
        if why := control.why():
            return broken_off(why)
        cancel = threading.Event()
        try:
            function = load(self.target)
            call, cancellable = with_cancel(function, cancel)
        except Exception as error:  # noqa: BLE001 - importing runs foreign code
            return Failed(error=_short(f"load {self.target!r} agent={request.agent_id}: {_told(error)}; check `target` and the folder"))
        answer: object = None
        raised: Failed | None = None
        try:
            with control.ending(cancel.set), heartbeat_of(request):
                answer = call(request)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the function is foreign; a script-like one ends with sys.exit()
            raised = Failed(error=_short(_told(error)), note=clean("".join(traceback.format_exception(error)))[-NOTE_CHARS:])
        why = control.why()
        if why in (Why.LOST, Why.TIMEOUT) or (why and cancellable and answer is None):
            return broken_off(why)
        return raised or _outcome(answer)


def load(target: str) -> Callable[..., object]:
    """The function that `module:callable` names. The working directory is searched last: it must not hide an installed module."""
    module_name, _, path = target.partition(":")
    if not module_name or not path:
        raise ValueError("expected module:callable")
    if (folder := os.getcwd()) not in sys.path:
        sys.path.append(folder)
    found: object = importlib.import_module(module_name)
    for name in path.split("."):
        found = getattr(found, name)
    if not callable(found):
        raise TypeError("it is not callable")
    if inspect.iscoroutinefunction(found):
        raise TypeError("it is a coroutine function; wrap it in one that calls asyncio.run")
    return found


def with_cancel(function: Callable[..., object], cancel: threading.Event) -> tuple[Callable[[HeartbeatRequest], object], bool]:
    """The function as one of the request alone, and whether it got the event."""
    match _asks(function) if isinstance(function, FunctionType) else _asks.__wrapped__(function):  # an object may have no hash
        case "by name":
            return lambda request: function(request, cancel=cancel), True
        case "by place":
            return lambda request: function(request, cancel), True
        case _:
            return function, False


@lru_cache(maxsize=FUNCTIONS)
def _asks(function: Callable[..., object]) -> Literal["by name", "by place", "not"]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # written in C, without a signature
        return "not"
    if any(p.name == "cancel" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters):
        return "by name"
    second = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][1:2]
    return "by place" if second and second[0].default is inspect.Parameter.empty else "not"


def _outcome(answer: object) -> Outcome:
    match answer:
        case None | True:
            return Ran()
        case False:
            return Ran(acted=False)
        case Ran() | Skipped() | Busy() | Failed():
            return answer
        case _:  # the turn took place, running it again would not mend the function
            return Ran(note=f"the function returned a {type(answer).__name__}, which says nothing; return None, a bool or an Outcome")


def _told(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:  # noqa: BLE001 - a foreign __str__
        said = ""
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _short(text: str) -> str:
    tidy = clean(text)
    return tidy if len(tidy) <= ERROR_CHARS else tidy[: ERROR_CHARS - 1] + "…"
