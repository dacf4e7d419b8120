"""What `.delay()` hands back is one of Celery's results, though Celery's part of it is made late."""

from __future__ import annotations

import gc

from celery.result import AsyncResult, ResultSet

from dispatcher.app import app
from dispatcher.core.models import Receipt
from dispatcher.result import CompletionResult


def test_a_result_says_what_celerys_says() -> None:
    ours, celerys = CompletionResult("c1", app), AsyncResult("c1", app=app)
    assert ours == celerys
    assert (ours.id, ours.parent, ours.ignored, ours.as_tuple()) == (celerys.id, celerys.parent, celerys.ignored, celerys.as_tuple())
    assert ours.backend is celerys.backend


def test_celerys_part_is_made_when_it_is_asked_for_and_once() -> None:
    receipt = Receipt(completion_id="c1", entry_id="1-0", accepted_at_ms=1, duplicate=False)
    result = CompletionResult("c1", app, receipt)
    assert "on_ready" not in vars(result)
    told: list[object] = []
    result.then(told.append)
    assert result.on_ready is result.on_ready
    assert (result.id, result.receipt) == ("c1", receipt)
    result.on_ready(result)
    assert told == [result]


def test_results_are_gathered_as_celerys_are() -> None:
    results = [CompletionResult("c1", app), CompletionResult("c2", app)]
    assert [one.id for one in ResultSet(results, app=app).results] == ["c1", "c2"]


def test_what_is_kept_for_each_is_little() -> None:
    """The collector looks at everything that is kept, again and again while a batch goes on."""
    gc.collect()
    before = len(gc.get_objects())
    kept = [CompletionResult(f"c{number}", app) for number in range(100)]
    assert len(gc.get_objects()) - before <= 2 * len(kept) + 10
