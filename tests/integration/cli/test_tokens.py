"""`wake token`, and the token of the environment on its way from `wake submit`, `wake wake` and `wake exec`."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest

from dispatcher import spool
from tests.support.wake_cli import TOML, WakeCli

STRICT = "[routing]\nrequire_token = true\n" + TOML
JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")


@pytest.fixture
def keyed(wake: WakeCli) -> WakeCli:
    wake.configure(STRICT)
    assert wake.json("token", "keygen") == {"file": str(wake.folder / ".wake" / "token.keys"), "keys": 1}
    return wake


def minted(wake: WakeCli, *words: str) -> str:
    done = wake.run("token", "mint", *words)
    assert done.code == 0, done
    assert JWT.fullmatch(done.out.strip())
    return done.out.strip()


def test_a_key_is_made_once_and_rotates(keyed: WakeCli) -> None:
    file = keyed.folder / ".wake" / "token.keys"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    again = keyed.run("token", "keygen", "--json")
    assert again.code == 2
    assert "--rotate" in again.document["error"]
    (old,) = file.read_text().split()
    assert keyed.json("token", "keygen", "--rotate")["keys"] == 2
    middle, kept = file.read_text().split()
    assert kept == old
    assert keyed.run("token", "keygen", "--rotate").code == 0
    assert file.read_text().split()[1:] == [middle]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name], "nothing is left beside it"
    assert keyed.json("token", "keygen", str(keyed.folder / "other" / "k"))["keys"] == 1


def test_no_key_is_printed(wake: WakeCli) -> None:
    done = wake.run("token", "keygen", "k")
    assert (wake.folder / "k").read_text().strip() not in done.out + done.err


def test_mint_says_what_it_made(keyed: WakeCli) -> None:
    shown = keyed.json("token", "mint", "--agent", "OPS", "--agent", "lab-*", "--ttl", "7d", "--wakes")
    assert (shown["agents"], shown["wakes"], set(shown)) == (["ops", "lab-*"], True, {"token", "agents", "wakes", "expires_at"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--agent", "ghost"), "not configured"),
        (("--agent", "*"), "never for everybody"),
        (("--agent", "ops", "--ttl", "1"), "is no duration; write one like"),
        (("--agent", "ops", "--ttl", "0s"), "at least 1 s"),
        (("--agent", "ops", "--ttl", "9999d"), "at most 366 d"),
        ((), "--agent"),
    ],
)
def test_what_cannot_be_minted(keyed: WakeCli, words: tuple[str, ...], said: str) -> None:
    done = keyed.run("token", "mint", *words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_without_a_key(wake: WakeCli) -> None:
    done = wake.run("token", "mint", "--agent", "ops")
    assert done.code == 2
    assert "wake token keygen" in done.err


def test_submit_and_wake_send_the_token_along(keyed: WakeCli, monkeypatch: pytest.MonkeyPatch) -> None:
    keyed.submit("without")
    monkeypatch.setenv("WAKE_INGRESS_TOKEN", minted(keyed, "--agent", "ops"))
    keyed.submit("mine")
    keyed.submit("other", "agent:research:main")
    assert keyed.run("wake", "ops", "--id", "no-scope").code == 0
    monkeypatch.setenv("WAKE_INGRESS_TOKEN", minted(keyed, "--agent", "ops", "--wakes"))
    assert keyed.run("wake", "ops", "--id", "scope").code == 0
    keyed.route()
    fates = {name: keyed.fate(name) for name in ("without", "mine", "other", "no-scope", "scope")}
    assert fates == {"without": "dead", "mine": "pending", "other": "dead", "no-scope": "dead", "scope": "pending"}
    shown = keyed.run("dead", "show", "other")
    assert "forbidden" in shown.out
    assert not JWT.search(keyed.run("dead", "show", "other", "--json").out.replace("019", ""))


def test_exec_takes_it_from_the_environment(keyed: WakeCli) -> None:
    token = minted(keyed, "--agent", "ops")
    done = keyed.start("exec", "--session-key", "agent:ops:main", "--id", "e1", "--json", "--", "false", WAKE_INGRESS_TOKEN=token)
    assert done.code == 1
    assert token not in done.out + done.err
    assert keyed.start("exec", "--session-key", "agent:research:main", "--id", "e2", "--", "false", WAKE_INGRESS_TOKEN=token).code == 1
    keyed.route()
    assert (keyed.fate("e1"), keyed.fate("e2")) == ("pending", "dead")


def test_a_kept_completion_keeps_its_token_until_it_is_delivered(keyed: WakeCli, tmp_path: Path) -> None:
    """In a file that only its owner can read; listing the spool does not show it."""
    token = minted(keyed, "--agent", "ops")
    away = {"WAKE_REDIS_URL": f"unix://{tmp_path}/nobody.sock?db=0", "WAKE_INGRESS_TOKEN": token}
    assert keyed.start("exec", "--session-key", "agent:ops:main", "--id", "e1", "--", "false", **away).code == 1
    (file,) = spool.pending(keyed.folder / ".wake" / "spool")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in keyed.run("spool", "list").out + keyed.run("spool", "list", "--json").out
    assert keyed.run("spool", "flush").code == 0
    keyed.route()
    assert keyed.fate("e1") == "pending"
