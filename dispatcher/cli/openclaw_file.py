"""What an openclaw.json says about agents, hooks and execs. Secrets in it may be references, which are not resolved here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dispatcher.core.errors import ConfigError

GATEWAY_PORT = 18789
Table = dict[str, Any]


@dataclass(frozen=True)
class OpenClawFile:
    """The file, read leniently: what has another form than expected counts as not there."""

    words: Table

    def table(self, *path: str) -> Table:
        found: Any = self.words
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def agents(self) -> dict[str, Table]:
        """Settings by agent id: `agents.entries`, or the list that older releases had. Without any, the gateway's own `main`."""
        listed = self.table("agents").get("list")
        found: dict[str, Table] = (
            {str(entry.get("id")): entry for entry in listed if isinstance(entry, dict)} if isinstance(listed, list) else {}
        )
        for name in (entries := self.table("agents", "entries")):
            found[name] = OpenClawFile(entries).table(name)
        return found or {"main": {}}

    def hooks_url(self) -> str:
        port, path = self.table("gateway").get("port", GATEWAY_PORT), str(self.table("hooks").get("path", "/hooks"))
        return f"http://127.0.0.1:{port}/{path.strip('/')}"


def read_openclaw(path: Path) -> OpenClawFile:
    """Raises ConfigError when the file cannot be read or is no JSON5 object."""
    import json5  # slow to import, and only these two commands need it

    try:
        words = json5.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError([f"cannot be read ({error.strerror}); name the gateway's openclaw.json"], str(path)) from None
    except ValueError as error:
        raise ConfigError([f"is not JSON5: {str(error)[:200]}"], str(path)) from None
    if not isinstance(words, dict):
        raise ConfigError(["is no object; name the gateway's openclaw.json"], str(path))
    return OpenClawFile(words)
