"""Where the embedded server listens: what its folder records, and whether it is still true. No client library is needed for that."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from urllib.parse import quote

STATE_NAME = "server.json"


def locate(data_dir: Path) -> str | None:
    """The URL of the embedded server that runs on `data_dir`, or None. A left-over `server.json` of a dead server counts as None."""
    path = recorded_socket(data_dir)
    return socket_url(path) if path is not None and _listening(path) else None


def write_state(data_dir: Path, pid: int, socket_path: Path) -> None:
    """Replaces the file in one step: a reader sees the old or the new server, never half a file."""
    fresh = data_dir / f"{STATE_NAME}.new"
    fresh.write_text(json.dumps({"pid": pid, "socket": str(socket_path)}), encoding="utf-8")
    fresh.replace(data_dir / STATE_NAME)


def recorded_socket(data_dir: Path) -> Path | None:
    try:
        state = json.loads((data_dir / STATE_NAME).read_text(encoding="utf-8"))
        return Path(state["socket"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def socket_url(path: Path) -> str:
    return f"unix://{quote(str(path))}?db=0"


def _listening(path: Path) -> bool:
    """Whether something accepts connections; a stopped or loading server does too, only a dead one refuses."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except (TimeoutError, BlockingIOError):  # its queue of connections is full
            return True
        except OSError:
            return False
    return True


def ask(path: Path, words: bytes) -> bytes | None:
    """The first line of the answer to an inline command; empty when the server hung up; None when nothing is there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(2.0)
        try:
            link.connect(str(path))
            link.sendall(words)
            return link.recv(256)
        except OSError:
            return None
