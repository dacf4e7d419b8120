"""A secret: where it lies, and what is said when it is not there. Its value is in no message, log line or repr."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from dispatcher.core.errors import ConfigError

MAX_BYTES = 16 * 1024


@dataclass(frozen=True)
class Credential:
    """One of three places. Read anew for each heartbeat, so that a file can be replaced while a worker runs."""

    file: str | None = None
    env: str | None = None
    plain: str | None = field(default=None, repr=False)

    def lines(self) -> list[str]:
        """Its lines that are not blank; there is at least one. Raises ConfigError, with one problem."""
        if self.file is not None:
            text, where = _content(self.file), f"the file {self.file}"
        elif self.env is not None:
            text, where = os.environ.get(self.env, ""), f"the variable {self.env} in the worker's environment"
        else:
            text, where = self.plain or "", "the configuration"
        found = [line.strip() for line in text.splitlines() if line.strip()]
        if not found:
            raise ConfigError([f"no secret in {where}; put it there"])
        return found


def _content(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            return opened.read(MAX_BYTES).decode()
    except OSError as error:
        raise ConfigError([f"the secret's file {file} cannot be read ({error.strerror}); correct its path or its rights"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"the secret's file {file} is not text; write the secret there as it is used"]) from None
