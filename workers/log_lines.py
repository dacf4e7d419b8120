"""From a log record to one line: for people or as JSON. What others wrote cannot forge a line, steer a terminal or show a password."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from dispatcher.config.server_url import ServerUrl
from dispatcher.core.exec_text import clean

MESSAGE_CHARS = 2_000
TRACE_CHARS = 8_000
ID_CHARS = 200
SHORTEST_SECRET = 6  # a shorter password would be found in ordinary words
HIDDEN = "***"
_LOGIN = re.compile(r"\b([a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@", re.IGNORECASE)
_QUERY = re.compile(r"([?&](?:sentinel_)?password=)[^&\s#]+", re.IGNORECASE)
_BARE = re.compile(r"[\w.:/@+-]+")


class Lines(logging.Formatter):
    """Formats in one of the two forms. `secrets` never appear, nor does a password in any URL."""

    def __init__(self, form: str, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._json = form == "json"
        self._secrets = sorted({word for word in secrets if len(word) >= SHORTEST_SECRET}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        said = _message(record)
        message = _bounded(self._safe(said), MESSAGE_CHARS)
        trace = self._safe(self.formatException(record.exc_info))[-TRACE_CHARS:] if record.exc_info else ""
        ids = {name: self._id(value) for name, value in ids_of(record).items()}
        at = datetime.fromtimestamp(record.created, UTC)
        if self._json:
            return _as_json(record, at, message, trace, ids)
        tail = " ".join(f"{name}={_shown(value)}" for name, value in ids.items())
        line = f"{at.astimezone().isoformat(sep=' ', timespec='milliseconds')} {record.levelname} {record.name}: {message}"
        # Indented, so that no line of a trace looks like a line of the log.
        below = "".join(f"\n    {row}" for row in trace.splitlines())
        return f"{line}{f' [{tail}]' if tail else ''}{below}"

    def _safe(self, text: str) -> str:
        return hidden(clean(text), self._secrets)

    def _id(self, value: object) -> object:
        if isinstance(value, str):
            return _bounded(self._safe(value), ID_CHARS)
        return [self._id(item) for item in value] if isinstance(value, list | tuple) else value


def ids_of(record: logging.LogRecord) -> Mapping[str, object]:
    """What the handler noted about where the line was said."""
    ids: Mapping[str, object] = getattr(record, "wake_ids", {})
    return ids


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text without these words and without the password of any URL."""
    for secret in secrets:
        text = text.replace(secret, HIDDEN)
    return _QUERY.sub(rf"\1{HIDDEN}", _LOGIN.sub(rf"\1:{HIDDEN}@", text))


def secrets_of(url: str | None) -> set[str]:
    """The passwords of a server's URL, as they are written and as they are."""
    if not url:
        return set()
    return ServerUrl.parse(url).secrets()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001  a runner's own log call may be wrong; its line is still worth something
        return f"{record.msg} (arguments do not fit: {type(error).__name__})"


def _as_json(record: logging.LogRecord, at: datetime, message: str, trace: str, ids: Mapping[str, object]) -> str:
    document: dict[str, Any] = {"at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "level": record.levelname}
    document |= {"logger": record.name, "message": message, **ids, "pid": record.process}
    if trace:
        document["trace"] = trace
    return json.dumps(document, default=str)


def _bounded(text: str, chars: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= chars else line[: chars - 1] + "…"


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_shown(item) for item in value)
    text = str(value)
    return text if _BARE.fullmatch(text) else json.dumps(text)
