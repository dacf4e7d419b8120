"""The spool: what is kept is on disk, is delivered once per flusher that lived, and never stands in another's way."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dispatcher import spool
from dispatcher.core.errors import ConfigError, InboxFull, InvalidCompletion, StoreUnavailable, WakeError
from tests.support.sources import ROOT

# Flushes the folder in argv[1]; prints each id and waits for a line on stdin before it lets the submit return.
SLOW_FLUSHER = """
import sys
from pathlib import Path
from dispatcher import spool
def submit(kwargs):
    print(kwargs["completion_id"], flush=True)
    sys.stdin.readline()
spool.flush(Path(sys.argv[1]), submit)
"""


def kept(completion_id: str) -> dict[str, Any]:
    return {"completion_id": completion_id, "session_key": "agent:ops:main", "exit_code": 0}


def flusher(folder: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", SLOW_FLUSHER, str(folder)]
    return subprocess.Popen(words, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def ids(folder: Path) -> list[str]:
    return [json.loads(path.read_bytes())["completion_id"] for path in spool.pending(folder)]


def test_a_kept_completion_is_one_private_file_with_all_its_words(tmp_path: Path) -> None:
    kwargs = kept("c-1") | {"output": "ü \x00 \udcff", "trace": {"a": "b"}}
    path = spool.write(tmp_path / "data" / "spool", kwargs)
    assert json.loads(path.read_bytes()) == kwargs
    assert path.stat().st_mode & 0o777 == 0o600
    assert [folder.stat().st_mode & 0o777 for folder in (path.parent, path.parent.parent)] == [0o700, 0o700]
    assert os.listdir(path.parent) == [path.name], "a temporary file is left"


def test_a_completion_without_an_id_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="completion_id"):
        spool.write(tmp_path, {"session_key": "agent:ops:main"})
    assert os.listdir(tmp_path) == []


def test_an_absent_spool_is_an_empty_one(tmp_path: Path) -> None:
    assert spool.pending(tmp_path / "none") == []
    assert spool.flush(tmp_path / "none", lambda _: None) == spool.FlushReport(sent=0, left=0, bad=0)
    assert not (tmp_path / "none").exists()


def test_the_oldest_goes_first_and_stays_until_its_submit_has_returned(tmp_path: Path) -> None:
    for number in range(5):
        spool.write(tmp_path, kept(f"c-{number}"))
    seen: list[dict[str, Any]] = []

    def submit(kwargs: dict[str, Any]) -> None:
        assert ids(tmp_path)[0] == kwargs["completion_id"], "removed before it was delivered"
        seen.append(kwargs)

    assert spool.flush(tmp_path, submit) == spool.FlushReport(sent=5, left=0, bad=0)
    assert seen == [kept(f"c-{number}") for number in range(5)]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b'"x"', b"{}", b'{"completion_id": 7}', b"[" * 100_000])
def test_a_file_that_holds_no_completion_is_set_aside_and_stops_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "00000000000000000000-first.json").write_bytes(content)
    spool.write(tmp_path, kept("good"))
    seen: list[dict[str, Any]] = []
    assert spool.flush(tmp_path, seen.append) == spool.FlushReport(sent=1, left=0, bad=1)
    assert seen == [kept("good")]
    assert (tmp_path / "bad" / "00000000000000000000-first.json").read_bytes() == content
    assert (tmp_path / "bad" / "00000000000000000000-first.reason").read_text().strip()


def test_a_completion_that_is_refused_for_good_is_set_aside_with_the_reason(tmp_path: Path) -> None:
    first = spool.write(tmp_path, kept("refused"))
    spool.write(tmp_path, kept("good"))

    def submit(kwargs: dict[str, Any]) -> None:
        if kwargs["completion_id"] == "refused":
            raise InvalidCompletion("submit refused: no such luck")

    assert spool.flush(tmp_path, submit) == spool.FlushReport(sent=1, left=0, bad=1)
    aside = tmp_path / "bad" / first.name
    assert json.loads(aside.read_bytes()) == kept("refused")
    assert aside.with_suffix(".reason").read_text() == "submit refused: no such luck\n"


def test_set_aside_keeps_the_completion_out_of_the_way(tmp_path: Path) -> None:
    path = spool.set_aside(tmp_path, kept("c"), "why not")
    assert path.parent == tmp_path / "bad"
    assert (json.loads(path.read_bytes()), path.with_suffix(".reason").read_text()) == (kept("c"), "why not\n")
    assert spool.pending(tmp_path) == []


@pytest.mark.parametrize("error", [StoreUnavailable("gone"), InboxFull("full", 1.0), ConfigError(["broken"])])
def test_a_server_that_cannot_take_more_ends_the_flush_and_every_file_stays(tmp_path: Path, error: WakeError) -> None:
    for number in range(4):
        spool.write(tmp_path, kept(f"c-{number}"))
    tried = []

    def submit(kwargs: dict[str, Any]) -> None:
        tried.append(kwargs["completion_id"])
        if len(tried) == 2:
            raise error

    assert spool.flush(tmp_path, submit) == spool.FlushReport(sent=1, left=3, bad=0, trouble=str(error))
    assert tried == ["c-0", "c-1"]
    assert ids(tmp_path) == ["c-1", "c-2", "c-3"]


def test_one_completion_that_trips_over_a_bug_stays_and_does_not_hold_up_the_others(tmp_path: Path) -> None:
    for number in range(3):
        spool.write(tmp_path, kept(f"c-{number}"))

    def submit(kwargs: dict[str, Any]) -> None:
        if kwargs["completion_id"] == "c-0":
            raise KeyError("a bug")

    report = spool.flush(tmp_path, submit)
    assert (report.sent, report.left, report.bad) == (2, 1, 0)
    assert "a bug" in str(report.trouble)
    assert ids(tmp_path) == ["c-0"]


def test_a_bounded_flush_begins_no_file_but_the_first_after_its_time(tmp_path: Path) -> None:
    """So a machine that is always too slow empties its spool all the same, a file at a time."""
    for name in ("c-1", "c-2", "c-3"):
        spool.write(tmp_path, kept(name))
    report = spool.flush(tmp_path, lambda _: None, stop_after_s=0)
    assert (report.sent, report.left, report.trouble) == (1, 2, "0 s were over")
    assert spool.flush(tmp_path, lambda _: None, stop_after_s=60).sent == 2


def test_many_flushers_at_once_deliver_each_completion_once(tmp_path: Path) -> None:
    """While all of them live; one that dies between submit and removal makes a second delivery under the same id."""
    expected = [f"c-{number}" for number in range(200)]
    for completion_id in expected:
        spool.write(tmp_path, kept(completion_id))
    seen: Counter[str] = Counter()
    with ThreadPoolExecutor(8) as pool:
        reports = list(pool.map(lambda _: spool.flush(tmp_path, lambda kwargs: seen.update([kwargs["completion_id"]])), range(8)))
    assert seen == Counter(expected)
    assert (sum(r.sent for r in reports), sum(r.bad for r in reports)) == (200, 0)
    assert [r.trouble for r in reports] == [None] * 8


def test_a_file_in_the_hands_of_another_process_is_left_to_it_and_comes_back_when_it_dies(tmp_path: Path) -> None:
    spool.write(tmp_path, kept("held"))
    spool.write(tmp_path, kept("free"))
    seen: list[str] = []

    def submit(kwargs: dict[str, Any]) -> None:
        seen.append(kwargs["completion_id"])

    with flusher(tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert spool.flush(tmp_path, submit) == spool.FlushReport(sent=1, left=1, bad=0)
        assert seen == ["free"]
        other.kill()
    assert spool.flush(tmp_path, submit) == spool.FlushReport(sent=1, left=0, bad=0)
    assert seen == ["free", "held"]


def test_a_write_whose_writer_died_is_delivered_if_whole_and_set_aside_if_torn(tmp_path: Path) -> None:
    whole, torn, young = (tmp_path / f".{name}.tmp" for name in ("1-whole", "2-torn", "3-young"))
    whole.write_text(json.dumps(kept("whole")))
    torn.write_text(json.dumps(kept("torn"))[:-5])
    young.write_text("{")
    past = time.time() - spool.STALE_WRITE_S - 1
    for path in (whole, torn):
        os.utime(path, (past, past))
    seen: list[dict[str, Any]] = []
    assert spool.flush(tmp_path, seen.append) == spool.FlushReport(sent=1, left=0, bad=1)
    assert seen == [kept("whole")]
    assert sorted(os.listdir(tmp_path)) == [".3-young.tmp", "bad"]
    assert sorted(os.listdir(tmp_path / "bad")) == ["2-torn.json", "2-torn.reason"]


def test_a_write_that_finds_no_room_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """No file of this process may grow: the same answer as from a full disk, but with EFBIG."""
    script = """
import resource, sys
from pathlib import Path
from dispatcher import spool
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    spool.write(Path(sys.argv[1]), {"completion_id": "c", "output": "x" * 1000})
except OSError as error:
    print(error.strerror)
"""
    words = [sys.executable, "-c", script, str(tmp_path / "spool")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout == "File too large\n"
    assert os.listdir(tmp_path / "spool") == []


def test_what_is_set_aside_never_lies_there_without_its_reason(tmp_path: Path) -> None:
    """The reason finds no room: nothing is set aside, and its caller knows."""
    script = """
import resource, sys
from pathlib import Path
from dispatcher import spool
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    spool.set_aside(Path(sys.argv[1]), {"completion_id": "c"}, "why " * 100)
except OSError as error:
    print(error.strerror)
"""
    words = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout == "File too large\n"
    assert os.listdir(tmp_path / "bad") == []


def test_at_its_bound_it_says_so_and_keeps_what_it_has(tmp_path: Path) -> None:
    """Both folders, each for itself."""
    for keep in (spool.write, lambda folder, words, most: spool.set_aside(folder, words, "why", most)):
        keep(tmp_path, {"completion_id": "c1"}, 2)
        keep(tmp_path, {"completion_id": "c2"}, 2)
        with pytest.raises(OSError, match="max_spool") as full:
            keep(tmp_path, {"completion_id": "c3"}, 2)
        assert full.value.errno == errno.EDQUOT
    assert [json.loads(path.read_bytes())["completion_id"] for path in spool.pending(tmp_path)] == ["c1", "c2"]
    assert len(spool.pending(tmp_path / spool.BAD)) == 2


def test_the_spool_needs_the_standard_library_only() -> None:
    script = "import dispatcher.spool, sys; print(sorted(m for m in ('pydantic', 'redis', 'celery', 'uuid_utils') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout == "[]\n"
