"""Names of processes, as presences carry them: one function takes them apart."""

from __future__ import annotations

import pytest

from dispatcher.names import Holder, holder_of, serves
from workers.presence import holder_name


def test_a_name_tells_what_it_was_made_of() -> None:
    made = holder_of(holder_name("worker", "agents+ops"))
    assert made is not None
    assert (made.role, made.serves) == ("worker", ("agents", "ops"))
    assert holder_of("router.inbox.h.7.x") == Holder("router", ("inbox",), "h", 7)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("worker.agents+ops.h.7.x", ("worker", ("agents", "ops"))),
        ("child.agents.h.7.x", ("child", ())),
        ("router.inbox.h.7.x", ("router", ())),
        ("worker.agents.h.pid.x", ("", ())),
        ("worker.agents", ("", ())),
        ("", ("", ())),
    ],
)
def test_only_a_worker_serves_pools_and_a_foreign_name_nothing(name: str, wanted: tuple[str, tuple[str, ...]]) -> None:
    assert serves(name) == wanted
