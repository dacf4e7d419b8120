"""How old the server must be before anybody is taken for dead early: at least as old as a lease that somebody may still trust."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.config import load
from dispatcher.store.opened import limits_of


@pytest.mark.parametrize(
    ("toml", "seconds"),
    [
        ("", 30),
        ("[lease]\nttl_ms = 120_000", 120),
        ("[lease]\nttl_ms = 20_000", 30),
        ("[sweep]\nyoung_server_ms = 10_500", 11),
        ("[sweep]\nyoung_server_ms = 0", 0),
        ("[sweep]\nyoung_server_ms = 1", 1),
    ],
)
def test_as_long_as_a_lease_unless_said_otherwise(tmp_path: Path, toml: str, seconds: int) -> None:
    file = tmp_path / "wake.toml"
    file.write_text(toml)
    assert limits_of(load(file, {})).min_uptime_s == seconds
