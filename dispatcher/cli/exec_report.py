"""What becomes of a completion of `wake exec`: handed over, or kept in the spool, or, if even that fails, told on stderr.

Imported after the command was started. What is slow to import is imported in a thread while the command runs.
"""

from __future__ import annotations

import json
import os
import queue
import shlex
import signal
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatcher import spool
from dispatcher.cli.exec_streams import say
from dispatcher.core.errors import ConfigError, InboxFull, InvalidCompletion, StoreUnavailable

if TYPE_CHECKING:
    from dispatcher.cli.exec_command import Options

LOAD_S = 60.0  # for the imports, from the command's end: they are slow only where many start at once
SUBMIT_S = 15.0  # for the server's answer; after either the spool has it
FLUSH_S = 2.0  # no file of the spool but the first is begun after this long; the last one may take SUBMIT_S
HURRY_S = 1.0  # what a signal after the command's end leaves of any of these
MAX_COMMAND_CHARS = 4096
_LOADED, _HURRY = object(), object()  # among the answers of the thread: all is imported; a signal came
_LATER = "the next 'wake exec' or 'wake spool flush' delivers it"


@dataclass(frozen=True)
class Delivery:
    """Where the completion is now: `accepted`, `duplicate`, `kept` (spool), `refused` (spool's bad/) or `lost`."""

    status: str
    kwargs: dict[str, Any]
    path: Path | None = None
    error: str | None = None

    def as_json(self) -> str:
        shown = {name: self.kwargs.get(name) for name in ("completion_id", "exit_code", "signal")}
        return json.dumps({**shown, "status": self.status, "path": str(self.path) if self.path else None, "error": self.error})


class Reporter:
    """Loads what a submit needs, in a thread, from the moment it is made; then hands over one completion."""

    def __init__(self, config_path: str | None) -> None:
        self._config_path = config_path
        self._orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def hurry(self, _number: int) -> None:
        """A signal after the command's end: no more long waiting. Called in another thread."""
        self._answers.put(_HURRY)

    def report(self, kwargs: dict[str, Any]) -> Delivery:
        """Never raises: whatever goes wrong ends in the spool, and in a line on stderr."""
        self._orders.put(kwargs)
        answer = self._answer(LOAD_S, "the imports took more than")
        if answer is _LOADED:
            answer = self._answer(SUBMIT_S, "the server gave no answer within")
        if isinstance(answer, InvalidCompletion):
            return self._set_aside(kwargs, answer)
        if isinstance(answer, Exception):
            return self._keep(kwargs, answer)
        _tell_flush(self._answer(FLUSH_S + SUBMIT_S, "the server gave no answer within"))
        return Delivery("duplicate" if getattr(answer, "duplicate", False) else "accepted", kwargs)

    def _work(self) -> None:
        try:
            from dispatcher.submit import submit_completion

            self._answers.put(_LOADED)
            kwargs = self._orders.get()
            self._answers.put(submit_completion(kwargs, self._config_path))
            # Without the path: the first submit made it the configuration of this process, and naming it again would open the store again.
            self._answers.put(spool.flush(spool_dir(self._config_path), submit_completion, stop_after_s=FLUSH_S))
        except Exception as error:  # noqa: BLE001  it is an answer: `report` keeps the completion
            self._answers.put(error)

    def _answer(self, timeout_s: float, complaint: str) -> object:
        """The next answer of the thread, or a TimeoutError or InterruptedError."""
        until = time.monotonic() + timeout_s
        late: Exception = TimeoutError(f"{complaint} {timeout_s:g} s")
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return late
            if answer is not _HURRY:
                return answer
            until = min(until, time.monotonic() + HURRY_S)
            late = InterruptedError("a signal came before the server's answer")

    def _keep(self, kwargs: dict[str, Any], error: Exception) -> Delivery:
        what = _what(error)
        try:
            path = spool.write(spool_dir(self._config_path), kwargs, _max_files(self._config_path))
        except OSError as failure:
            return _lost(kwargs, what, failure)
        say(f"{what}; completion {kwargs['completion_id']} kept in {path}, {_LATER} ({error})")
        return Delivery("kept", kwargs, path, str(error))

    def _set_aside(self, kwargs: dict[str, Any], error: InvalidCompletion) -> Delivery:
        try:
            path = spool.set_aside(spool_dir(self._config_path), kwargs, str(error), _max_files(self._config_path))
        except OSError as failure:
            return _lost(kwargs, f"completion refused: {error}", failure)
        say(f"completion {kwargs['completion_id']} refused: {error}; set aside in {path}, nothing will deliver it")
        return Delivery("refused", kwargs, path, str(error))


def completion(options: Options, code: int, output: str, started_s: float, finished_s: float) -> dict[str, Any]:
    """The keyword arguments of the completion, its id fixed. `code` below 0 is a signal."""
    kwargs: dict[str, Any] = {
        "completion_id": options.completion_id or _new_id(options),
        "session_key": options.session_key,
        "agent_id": options.agent_id,
        "run_id": options.run_id,
        "step_id": options.step_id,
        "command": _bounded(shlex.join(options.command)),
        "exit_code": code if code >= 0 else None,
        "signal": _signal_name(-code) if code < 0 else None,
        "output": output,
        "started_at": datetime.fromtimestamp(started_s, UTC).isoformat(),
        "finished_at": datetime.fromtimestamp(finished_s, UTC).isoformat(),
        "host": os.uname().nodename,
        "lineage": _lineage(),
        "trace": _trace(),
        "token": os.environ.get("WAKE_INGRESS_TOKEN") or None,
    }
    return {name: value for name, value in kwargs.items() if value is not None}


def spool_dir(config_path: str | None) -> Path:
    """The spool of this configuration; of an unusable one as much as can be made out, so that it is the same place once it is mended."""
    try:
        from dispatcher.config import load

        return load(Path(config_path) if config_path else None).data_dir / "spool"
    except Exception:  # noqa: BLE001  a completion is to be kept: no fault of the configuration may prevent that
        return _plain_data_dir(config_path) / "spool"


def _max_files(config_path: str | None) -> int:
    try:
        from dispatcher.config import load

        return load(Path(config_path) if config_path else None).bounds.max_spool
    except Exception:  # noqa: BLE001  as for the folder
        return spool.MAX_FILES


def _plain_data_dir(config_path: str | None) -> Path:
    import tomllib

    file = Path(config_path or os.environ.get("WAKE_CONFIG") or "wake.toml").expanduser().absolute()
    for name in ("WAKE_DATA_DIR", "WAKE_REDIS_DATA_DIR"):
        if os.environ.get(name):
            return Path.cwd() / Path(os.environ[name]).expanduser()
    try:
        named = tomllib.loads(file.read_text("utf-8"))["redis"]["data_dir"]
    except (OSError, ValueError, KeyError, TypeError):
        named = None
    base = file.parent if file.parent.is_dir() else Path.cwd()
    return base / Path(named if isinstance(named, str) and named else ".wake").expanduser()


def _new_id(options: Options) -> str:
    try:
        from dispatcher.core.identity import derive_completion_id, new_completion_id
    except ImportError:  # a broken installation must not lose the completion
        import uuid

        return str(uuid.uuid4())
    parts = (options.session_key, options.run_id or "", options.step_id or "")
    return derive_completion_id(*parts) if all(part.strip() for part in parts) else new_completion_id()


def _lineage() -> dict[str, object] | None:
    if not os.environ.get("WAKE_LINEAGE"):
        return None  # not inside a heartbeat: no import for nothing
    try:
        from dispatcher.causes import inherited_lineage
    except ImportError:  # a broken installation must not lose the completion
        return None
    return inherited_lineage()


def _trace() -> dict[str, str] | None:
    if not os.environ.get("TRACEPARENT"):
        return None
    try:
        from dispatcher.core.trace_context import from_variables
    except ImportError:  # a broken installation must not lose the completion
        return None
    return from_variables(os.environ)


def _bounded(text: str) -> str:
    text = text.encode("utf-8", "replace").decode()  # an argument may hold bytes that are no UTF-8
    return text if len(text) <= MAX_COMMAND_CHARS else f"{text[: MAX_COMMAND_CHARS - 1]}…"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal without a name
        return f"SIG{number}"


def _what(error: Exception) -> str:
    match error:
        case StoreUnavailable():
            return "server unreachable"
        case InboxFull():
            return "inbox full"
        case ConfigError():
            return "configuration not usable"
        case TimeoutError():
            return "no answer in time"
        case InterruptedError():
            return "interrupted"
    return f"not delivered, {type(error).__name__}"


def _lost(kwargs: dict[str, Any], what: str, failure: OSError) -> Delivery:
    """Neither the server nor the disk took it: the words to report it by hand are the last thing we can give."""
    options = {"--session-key": "session_key", "--id": "completion_id", "--agent": "agent_id", "--exit-code": "exit_code"}
    words = [word for option, name in options.items() if name in kwargs for word in (option, str(kwargs[name]))]
    by_hand = shlex.join(["wake", "submit", *words])
    say(f"{what}, and completion {kwargs['completion_id']} cannot be kept ({failure}): it is LOST unless you run: {by_hand}")
    return Delivery("lost", kwargs, None, f"{what}; {failure}")


def _tell_flush(answer: object) -> None:
    if isinstance(answer, spool.FlushReport):
        if answer.sent:
            say(f"{answer.sent} kept completion(s) delivered, {answer.left} left")
        if answer.bad:
            say(f"{answer.bad} kept completion(s) cannot be delivered; see the reasons in the spool's bad folder")
    elif isinstance(answer, Exception):
        say(f"kept completions were not delivered: {answer}")
