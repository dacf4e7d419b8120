"""submit: accepted once, durably, or refused with nothing written."""

from __future__ import annotations

import pytest

from dispatcher.core.errors import IdConflict, InboxFull
from dispatcher.store.inbox import PAGE, PAGE_CHARS, Submission
from tests.support.store import MAIN, T0, Rig, submission

DAY_MS = 86_400_000


def test_accepted(rig: Rig) -> None:
    """ACCEPTED: the entry, its record and the count come together; routers are told once per announcement."""
    receipt, announce = rig.inbox.submit(submission("c1"), T0)
    assert (receipt.completion_id, receipt.accepted_at_ms, receipt.duplicate, announce) == ("c1", T0, False, True)
    assert rig.inbox.submit(submission("c2"), T0)[1] is False
    entries = rig.client.xrange(rig.keys.inbox["stream"])
    assert entries[0] == (receipt.entry_id, {"id": "c1", "revival": "0", "at": str(T0), "body": submission("c1").body})
    assert rig.client.hget(rig.keys.inbox["seen"], "c1") == f"{receipt.entry_id}|{T0}|digest|0|accepted||"
    assert rig.client.lrange(rig.keys.inbox["order"], 0, -1) == ["c1", "c2"]
    assert rig.ledger.balance().accepted == 2
    assert rig.fate("c1") == "accepted"
    assert 0 < rig.client.pttl(rig.keys.inbox["announced"]) <= rig.limits.announce_ms


def test_the_server_clock_is_the_default(rig: Rig) -> None:
    before = rig.ledger.now_ms()
    assert before <= rig.inbox.submit(submission("c1"))[0].accepted_at_ms <= rig.ledger.now_ms()


@pytest.mark.parametrize("later_ms", [0, DAY_MS - 1])
def test_duplicate(rig: Rig, later_ms: int) -> None:
    """DUPLICATE: the first receipt again, whether the repetition follows a lost reply or comes a day later."""
    first, _ = rig.inbox.submit(submission("c1"), T0)
    with rig.unchanged():
        again, announce = rig.inbox.submit(submission("c1"), T0 + later_ms)
    assert again == first.model_copy(update={"duplicate": True})
    assert announce is False


def test_id_conflict(rig: Rig) -> None:
    """ID_CONFLICT: another exec under a known id is an error, never a duplicate."""
    rig.inbox.submit(submission("c1"), T0)
    with rig.unchanged(), pytest.raises(IdConflict, match="completion=c1"):
        rig.inbox.submit(submission("c1", digest="another"), T0 + DAY_MS - 1)


def test_inbox_full(rig: Rig) -> None:
    """INBOX_FULL refuses what is new; what was accepted is still answered."""
    small = rig.limited(max_inbox=2)
    small.inbox.submit_all([submission("c1"), submission("c2")], T0)
    with rig.unchanged():
        with pytest.raises(InboxFull) as refused:
            small.inbox.submit(submission("c3"), T0)
        assert small.inbox.submit(submission("c1"), T0)[0].duplicate
    assert refused.value.retry_after_s > 0


def test_those_beside_a_refused_one_stand(rig: Rig) -> None:
    rig.inbox.submit(submission("c1"), T0)
    with pytest.raises(IdConflict):
        rig.inbox.submit_all([submission("c0"), submission("c1", digest="another"), submission("c2")], T0)
    assert rig.inbox.submit_all([submission("c0"), submission("c2")], T0)[1][0].duplicate


def test_one_page_answers_each_for_itself(rig: Rig) -> None:
    """SUBMITTED: what is twice in a page is accepted once, and what finds no room is refused; the others stand."""
    small = rig.limited(max_inbox=3)
    known, _ = small.inbox.submit(submission("known"), T0)
    page = [submission("c1"), submission("known"), submission("c1"), submission("c1", digest="another"), submission("c2"), submission("c3")]
    first, again, twin, conflict, second, full = small.inbox.submit_each(page, T0)
    assert isinstance(first, tuple)
    assert again == (known.model_copy(update={"duplicate": True}), False)
    assert twin == (first[0].model_copy(update={"duplicate": True}), False)
    assert isinstance(conflict, IdConflict)
    assert isinstance(second, tuple)
    assert isinstance(full, InboxFull)
    assert [fields["id"] for _, fields in rig.client.xrange(rig.keys.inbox["stream"])] == ["known", "c1", "c2"]
    assert rig.ledger.balance().accepted == 3


@pytest.mark.parametrize(
    ("count", "chars", "steps"), [(PAGE, 10, 1), (PAGE + 1, 10, 2), (3, PAGE_CHARS // 2, 2), (3, PAGE_CHARS * 2, 3), (0, 0, 0)]
)
def test_what_is_too_much_for_one_step_goes_in_several_and_one_round_trip(rig: Rig, count: int, chars: int, steps: int) -> None:
    before = rig.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
    answers = rig.inbox.submit_each([Submission(f"c{i}", "d", "x" * chars) for i in range(count)], T0)
    assert rig.client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"] - before == steps
    assert [answer[0].completion_id for answer in answers if isinstance(answer, tuple)] == [f"c{i}" for i in range(count)]


def test_after_the_dedupe_time_an_id_is_accepted_again(rig: Rig) -> None:
    rig.inbox.submit(submission("c1"), T0)
    receipt, _ = rig.inbox.submit(submission("c1", digest="another"), T0 + DAY_MS)
    assert not receipt.duplicate
    assert rig.ledger.inbox_depth() == 2


def test_old_ids_are_forgotten_a_few_per_call(rig: Rig) -> None:
    rig.inbox.submit_all([submission(f"c{i}") for i in range(10)], T0)
    rig.inbox.submit(submission("new"), T0 + DAY_MS)
    assert rig.client.hlen(rig.keys.inbox["seen"]) == 10 - 4 + 1
    for i in range(3):
        rig.inbox.submit(submission(f"newer{i}"), T0 + DAY_MS)
    assert sorted(rig.client.hkeys(rig.keys.inbox["seen"])) == ["new", "newer0", "newer1", "newer2"]
    assert rig.client.llen(rig.keys.inbox["order"]) == 4


def test_no_more_ids_are_kept_than_the_bound(rig: Rig) -> None:
    small = rig.limited(max_ids=3)
    for i in range(6):
        small.inbox.submit(submission(f"c{i}"), T0)
    assert sorted(rig.client.hkeys(rig.keys.inbox["seen"])) == ["c3", "c4", "c5"]
    assert rig.ledger.where("c0") is None


def test_a_completion_is_its_producers_words(rig: Rig) -> None:
    """What is not ASCII, long numbers and quotes come out as they went in."""
    body = '{"output": "žluťoučký \\ud83d\\ude00 \\u0000", "n": 12345678901234567890, "session_key": "' + MAIN + '"}'
    rig.inbox.submit(Submission("c1", "d", body), T0)
    assert rig.inbox.claim("r1", 10).entries[0].body == body
