"""What the reaper process does with each line it reads."""

from __future__ import annotations

import pytest

from workers.reaper_process import DONE, obey


@pytest.mark.parametrize(
    ("line", "answer", "watched"),
    [
        ("add 20 inf", DONE, {10: 1.5, 20: float("inf")}),
        ("add 10 2.5", DONE, {10: 2.5}),
        ("renew 10 9.5", b"", {10: 9.5}),
        ("renew 20 9.5", b"", {10: 1.5}),
        ("forget 10", DONE, {}),
        ("forget 20", DONE, {10: 1.5}),
    ],
)
def test_each_word(line: str, answer: bytes, watched: dict[int, float]) -> None:
    """A renewal revives no group that expired or was forgotten: its number may name another one by now."""
    trusted_until = {10: 1.5}
    assert obey(line, trusted_until) == answer
    assert trusted_until == watched
