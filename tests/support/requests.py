"""Heartbeat requests and what a command leaves on disk, for tests of runners."""

from __future__ import annotations

from pathlib import Path

from dispatcher.core.models import Event, HeartbeatRequest, Intent, Source
from tests.support.gates import wait_until
from tests.support.recorder import lives

PATIENCE_S = 90.0


def request(*, batch_id: str = "b-1", output: str = "", trace: dict[str, str] | None = None, token: int = 7) -> HeartbeatRequest:
    """The first attempt of a batch of one completion of agent ops."""
    return HeartbeatRequest(
        agent_id="ops",
        session_key="agent:ops:main",
        batch_id=batch_id,
        attempt=1,
        token=token,
        reason="exec-event",
        intent=Intent.EVENT,
        source=Source.EXEC_EVENT,
        completion_ids=("c-1",),
        events=(Event(completion_id="c-1", text="Exec completed (c-1, code 0)", output=output),),
        trace=trace,
    )


def read(file: Path) -> bytes:
    """What /proc says; nothing of a process or thread that has just ended."""
    try:
        return file.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def pid_in(file: Path) -> int:
    """Waits until a command has written its process id there."""

    def written() -> str:
        text = file.read_text() if file.exists() else ""
        return text if text.endswith("\n") else ""

    return int(wait_until(written, PATIENCE_S, f"a pid in {file.name}"))


def wait_gone(*pids: int) -> None:
    wait_until(lambda: not any(map(lives, pids)), PATIENCE_S, f"processes {pids} are gone")
