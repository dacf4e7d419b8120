"""What all commands share: exit codes, one JSON document, no traceback, no terminal needed, nothing that steers one."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import tomllib
from contextlib import suppress

import pytest

from tests.support.exec_process import WAKE, environment
from tests.support.sources import ROOT
from tests.support.wake_cli import WakeCli

COMMANDS = [
    ("submit", "--session-key", "agent:ops:main"),
    ("trace", "c1"),
    ("bind", "node-x", "ops"),
    ("unbind", "node-x"),
    ("bindings",),
    ("status",),
    ("status", "ops"),
    ("move", "ops"),
    ("audit",),
    ("dead", "list"),
    ("dead", "show", "c1"),
    ("dead", "revive", "c1"),
    ("dead", "drop", "c1", "--yes"),
]
each_command = pytest.mark.parametrize("words", COMMANDS, ids=" ".join)


@each_command
def test_no_server(wake: WakeCli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """Neither a configured one that answers nor an embedded one."""
    monkeypatch.setenv("WAKE_REDIS_URL", f"unix://{wake.folder}/nobody.sock?db=0")
    done = wake.run(*words, "--json")
    assert done.code == 75
    assert "error" in done.document
    assert "wake up" in done.err
    monkeypatch.delenv("WAKE_REDIS_URL")
    done = wake.run(*words)
    assert (done.code, done.out) == (75, "")
    assert "no embedded server runs" in done.err


@each_command
def test_an_unusable_configuration(wake: WakeCli, words: tuple[str, ...]) -> None:
    (wake.folder / "wake.toml").write_text("[redis]\nslotz = 1\n[agents.ops]\nwindow_ms = 'x'\n")
    done = wake.run(*words, "--json")
    assert done.code == 2
    assert "redis.slotz" in done.document["error"]
    assert "agents.ops.window_ms" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("scale", "--min", "5", "--max", "2"), "5 is more than --max 2"),
        (("scale", "--wait", "soon"), "is no duration"),
        (("pause", "ops", "--reason", "x", "--for", "999999999d"), "at most 3660 d"),
        (("dead", "list", "--older-than", "soon"), "is no duration"),
        (("dead", "revive"), "give an ID, or"),
        (("dead", "drop", "c1", "--all"), "not both"),
        (("wake", "nobody"), "wake agent='nobody': not configured"),
        (("simulate", "--scenario", "a.toml", "--policy", "none.toml"), "Invalid value for --policy: there is no file none.toml"),
        (("submit", "--session-key", "agent:ops:main", "--id", "a\nb"), "completion_id: "),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, tuple) else "",
)
def test_wrong_words_are_wrong_also_while_the_server_is_away(
    wake: WakeCli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    """75 would make a script try the same again for ever."""
    monkeypatch.setenv("WAKE_REDIS_URL", f"unix://{wake.folder}/nobody.sock?db=0")
    done = wake.run(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err


@pytest.mark.parametrize("words", [("token", "keygen", "."), ("init", "--dir", "wake.toml/x", "--yes"), ("acl", "worker", "--pool", "x")])
def test_what_is_no_fault_of_the_configuration_is_not_called_one(wake: WakeCli, words: tuple[str, ...]) -> None:
    done = wake.run(*words, "--json")
    assert done.code == 2
    assert "configuration" not in done.err
    assert done.document["error"] == done.document["problems"][0]


@pytest.mark.parametrize(
    "words",
    [
        ("wake", "bad id"),
        ("config", "show", "--agent", "bad id"),
        ("token", "mint", "--agent", "bad id"),
        ("pause", "bad id", "--reason", "x"),
        ("cancel", "bad id"),
    ],
    ids=" ".join,
)
def test_what_can_be_no_agent_is_not_to_be_configured(wake: WakeCli, words: tuple[str, ...]) -> None:
    """Each says the rule, and nothing of keys, completions or holds, which nobody named."""
    done = wake.run(*words)
    assert (done.code, done.out) == (2, "")
    assert "'bad id' is no agent id" in done.err
    assert "first a letter or digit, at most 64" in done.err
    assert not [word for word in ("[agents.", "session key", "completion", "hold") if word in done.err]


@each_command
def test_a_word_too_many(wake: WakeCli, words: tuple[str, ...]) -> None:
    done = wake.run(*words, "--no-such-option", "--json")
    assert done.code == 2
    assert set(done.document) == {"error"}
    assert "--no-such-option" in done.err


@each_command
def test_every_command_explains_itself(wake: WakeCli, words: tuple[str, ...]) -> None:
    help_words = [word for word in words[:2] if word in words[:1] or words[0] == "dead"]
    done = wake.run(*help_words, "--help")
    assert (done.code, done.err) == (0, "")
    assert "--json" in done.out
    assert "--config" in done.out


def test_the_list_of_commands(wake: WakeCli) -> None:
    done = wake.run("--help")
    assert done.code == 0
    for name in (
        "up",
        "worker",
        "flower",
        "submit",
        "exec",
        "resolve",
        "bind",
        "unbind",
        "bindings",
        "status",
        "trace",
        "dead",
        "audit",
        "move",
        "spool",
    ):
        assert f"\n  {name} " in done.out
    assert max(map(len, done.out.splitlines())) <= 80
    assert wake.run().code == 2
    assert wake.run("no-such-command").code == 2


def test_version(wake: WakeCli) -> None:
    import dispatcher

    assert wake.run("--version").out == f"wake-dispatcher {dispatcher.__version__}\n"


def test_the_configuration_is_named_before_or_behind_the_command(wake: WakeCli) -> None:
    (wake.folder / "other.toml").write_text('[routing.bindings]\n"node-other" = "ops"\n')
    for words in (("--config", "other.toml", "bindings"), ("bindings", "--config", "other.toml"), ("--config=other.toml", "bindings")):
        assert [b["session_key"] for b in wake.json(*words)["bindings"]] == ["node-other"]
    missing = wake.run("bindings", "--config", "missing.toml")
    assert missing.code == 2
    assert "missing.toml" in missing.err


def test_a_process_of_its_own_without_a_terminal(wake: WakeCli) -> None:
    receipt = wake.start("submit", "--session-key", "agent:ops:main", "--id", "c1", "--exit-code", "1", "--json")
    assert (receipt.code, receipt.err, receipt.document["completion_id"]) == (0, "", "c1")
    table = wake.start("resolve", "agent:ops:" + "long" * 60, LANG="C", PYTHONIOENCODING="ascii")
    assert table.code == 0
    assert max(map(len, table.out.splitlines())) <= 80
    assert "\x1b" not in table.out
    assert wake.start("trace", "nobody", "--json").code == 1


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_only_on_a_terminal_that_wants_them(wake: WakeCli, variables: dict[str, str], coloured: bool) -> None:
    ours, theirs = pty.openpty()
    env = environment(wake.url, TERM="xterm-256color", COLUMNS="80", **variables)
    process = subprocess.Popen([*WAKE, "status"], cwd=wake.folder, env=env, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    assert process.wait(200) == 1
    shown = ""
    with suppress(OSError):  # the end, when nobody holds the other side any more
        while chunk := os.read(ours, 65_536):
            shown += chunk.decode()
    os.close(ours)
    assert "not ready" in shown
    assert ("\x1b[31m" in shown) == coloured


def test_text_from_elsewhere_neither_steers_the_terminal_nor_the_table(wake: WakeCli) -> None:
    evil = "[red]x[/red]\x1b]0;title\x07\x1b[2J\u202e\r\nsecond"
    wake.deposit("c1", "agent:ops:main", "--exit-code", "1", "--output", evil)
    wake.bury()
    shown = wake.run("dead", "show", "c1").out
    assert "[red]x[/red]" in shown
    assert not set("\x1b\x07\u202e\r") & set(shown)
    done = wake.run("resolve", "[bold]node[/bold]\x1b[31m", "[/]")
    assert done.code == 1
    assert "[bold]node[/bold]" in done.out.replace("\n", "").replace(" ", "")
    assert "\x1b" not in done.out + done.err
    raw = wake.run("dead", "show", "c1", "--json").out
    assert raw.isascii()
    assert json.loads(raw)["output"].startswith("[red]")


def test_exec_may_come_behind_the_configuration(wake: WakeCli) -> None:
    (wake.folder / "other.toml").write_text('[redis]\nprefix = "other"\n')
    for words in (("--config", "other.toml"), ("--config=other.toml",)):
        done = wake.start(*words, "exec", "--session-key", "agent:ops:main", "--", "sh", "-c", "echo --json; exit 3")
        assert (done.code, done.out, done.err) == (3, "--json\n", "")
    assert wake.client.xlen("other:{inbox}:stream") == 2


def test_a_worker_is_another_program_and_says_no_itself(wake: WakeCli) -> None:
    away = f"unix://{wake.folder}/nobody.sock?db=0"  # it would wait for a server, but not for a pool
    done = wake.start("worker", "--pool", "nowhere", "--json", WAKE_REDIS_URL=away)
    assert (done.code, done.document["command"]) == (2, "worker")
    assert "nowhere" in done.err
    assert wake.run("worker", "--pool", "agents", "--agent", "ops").code == 2
    assert wake.run("worker", "--concurrency", "0").code == 2
    (wake.folder / "wake.toml").write_text("[redis]\nslotz = 1\n")
    for command in ("up", "worker"):
        done = wake.run(command, "--json")
        assert done.code == 2
        assert "redis.slotz" in done.document["error"]


def test_a_foreign_workers_package_is_not_ours(wake: WakeCli) -> None:
    (wake.folder / "workers").mkdir()
    (wake.folder / "workers" / "__init__.py").write_text("")
    (wake.folder / "workers" / "__main__.py").write_text("print('the foreign one')\n")
    done = wake.start("worker", "--pool", "nowhere")
    assert "foreign" not in done.out
    assert "nowhere" in done.err


def test_both_names_of_the_command_are_the_same() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert scripts == {"wake": "dispatcher.cli:main", "wake-dispatcher": "dispatcher.cli:main"}
