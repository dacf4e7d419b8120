"""Submitting: from what a producer says to a durable inbox entry. The message that makes routers look comes after it and is only a hint."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticSerializationError

from dispatcher import names
from dispatcher.app import app, current_config, current_store, use_config
from dispatcher.core.errors import InvalidCompletion
from dispatcher.core.identity import derive_completion_id, new_completion_id, payload_digest
from dispatcher.core.models import ID_PATTERN, ID_WORDS, ExecCompletion, Receipt
from dispatcher.core.reported import Reported, body_of
from dispatcher.core.wake_request import WakeRequest
from dispatcher.hints import Hints
from dispatcher.store.inbox import Submission

log = logging.getLogger(__name__)
MAX_UNUSABLE_CHARS = 256 * 1024
_look = Hints(app, names.ROUTE)
Model = TypeVar("Model", bound=BaseModel)


def completion_of(kwargs: Mapping[str, Any]) -> ExecCompletion:
    """The completion that these words describe, with its id fixed. Raises InvalidCompletion, which names every fault."""
    words = dict(kwargs)
    if words.get("completion_id") in (None, ""):
        words["completion_id"] = _fresh_id(words)
    return _checked(ExecCompletion, words, "completion")


def wake_request_of(kwargs: Mapping[str, Any]) -> WakeRequest:
    """The wake request that these words describe, with its id fixed. Raises InvalidCompletion, which names every fault."""
    words = dict(kwargs)
    if words.get("wake_id") in (None, ""):
        words["wake_id"] = new_completion_id()
    return _checked(WakeRequest, words, "wake")


def _checked(model: type[Model], words: Mapping[str, Any], name: str) -> Model:
    try:
        return model.model_validate(words)
    except ValidationError as error:
        faults = "; ".join(_words(fault, name) for fault in error.errors(include_url=False, include_input=False))
        raise InvalidCompletion(f"submit {name}={str(words[f'{name}_id'])[:200]!r}: {faults}; nothing was written") from None


def _words(fault: ErrorDetails, name: str) -> str:
    said = f"must be {ID_WORDS}" if fault.get("ctx", {}).get("pattern") == ID_PATTERN else fault["msg"]
    return f"{'.'.join(map(str, fault['loc'])) or name}: {said}"


def _fresh_id(words: Mapping[str, Any]) -> str:
    # Never from a run id alone: one run has many execs.
    key, run_id, step_id = words.get("session_key"), words.get("run_id"), words.get("step_id")
    if all(isinstance(part, str) and part for part in (key, run_id, step_id)):
        return derive_completion_id(str(key), str(run_id), str(step_id))
    return new_completion_id()


def submission_of(reported: Reported) -> Submission:
    """The completion or wake as it is written. Raises InvalidCompletion for an unknown field that no JSON text can hold."""
    try:
        return Submission(reported.completion_id, payload_digest(reported), body_of(reported))
    except (PydanticSerializationError, RecursionError) as error:
        said = f"submit completion={reported.completion_id}: it cannot be written as JSON ({str(error)[:200]}); nothing was written"
        raise InvalidCompletion(said) from None


def submit_completion(kwargs: Mapping[str, Any], config_path: str | None = None) -> Receipt:
    """Accepts one completion and announces the inbox. Raises InvalidCompletion, InboxFull, StoreUnavailable or ConfigError.

    `config_path` stands for `--config` of a command; a library reads `WAKE_CONFIG` or `./wake.toml`.
    """
    if config_path:
        use_config(config_path)
    return submit(completion_of(kwargs))


def submit_wake(kwargs: Mapping[str, Any], config_path: str | None = None) -> Receipt:
    """Accepts one wake that somebody asks for: the fields of `WakeRequest`. As `submit_completion` in all else."""
    if config_path:
        use_config(config_path)
    return submit(wake_request_of(kwargs))


def submit(reported: Reported) -> Receipt:
    """As `submit_completion`, for what was checked already."""
    return _accepted(submission_of(reported))


def submit_unusable(words: Mapping[str, Any], completion_id: str) -> Receipt:
    """Keeps what a foreign program sent and nobody can use: accepted, so that it becomes a dead letter with its reason."""
    kept = {name: value for name, value in words.items() if name not in ("token", "kind")}  # it must not be read as anything else
    body = json.dumps(kept, default=str)[:MAX_UNUSABLE_CHARS]
    return _accepted(Submission(completion_id, blake2b(body.encode(), digest_size=16).hexdigest(), body))


def _accepted(submission: Submission) -> Receipt:
    receipt, announce = current_store().inbox.submit(submission)
    if announce:
        announce_inbox()
    return receipt


def announce_inbox() -> None:
    """Tells a router to look now. A failure is no error: the routers' own timer looks at least twice a second."""
    try:
        _look.publish(current_store().caller.wire, [(names.inbox_queue(current_config().redis.prefix), ())])
    except Exception as error:  # noqa: BLE001  # kombu, Celery or the connection; the entry is durable, whatever went wrong
        log.warning("announce inbox: %s; routers look by themselves", error)
