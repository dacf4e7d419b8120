"""Every fault at once, each with its key as the file would write it and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.config import load
from dispatcher.core.errors import ConfigError


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "wake.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as error:
        load(path, env={})
    assert all(f"  {problem}" in str(error.value) for problem in error.value.problems)
    return error.value.problems


CASES = [
    ("[redis]\nslots = '64'", "redis.slots: must be a valid integer, not '64'"),
    ("[redis]\nslots = true", "redis.slots: must be a valid integer, not True"),
    ("[redis]\nprefix = 'a:b'", "redis.prefix: "),
    ("[redis]\nprefx = 'a'", "redis.prefx: unknown key; did you mean `prefix`?"),
    ("[redis]\nttl_ms = 1", "redis.ttl_ms: unknown key; it belongs in [lease]"),
    ("[redis]\nzzzzz = 1", "redis.zzzzz: unknown key; known are url, password,"),
    ("redis = 'redis://h'", "redis: must be a table, not 'redis://h'"),
    ("agents = ['ops']", "agents: must be a valid dictionary"),
    ("[agents]\nops = true", "agents.ops: must be a table, not True"),
    ("[redis]\nurl = 'http://h'", "redis.url: must have the form redis://"),
    ("[redis]\nurl = 'unix://'", "redis.url: names no socket"),
    ("[redis]\nurl = 'redis://h/db'", "redis.url: must end with the number of a database"),
    ("[redis]\nurl = 'unix:///s?db=x'", "redis.url: must end with the number of a database"),
    ("[redis]\nurl = 'redis://h:0/1'", "redis.url: has no usable port"),
    ("[pool.x]\n[redis]", "pool: unknown table; did you mean [pools]?"),
    ("[zzz]\n[redis]", "zzz: unknown table (is this another program's file? see --config); the tables are [redis],"),
    ("prefix = 'x'", "prefix: unknown here; it belongs in [redis]"),
    ("[agents.\"lab-*\"]\nmin_spacing_ms = 'x'", 'agents."lab-*".min_spacing_ms: must be a valid integer'),
    ("[agents.ops]\nmin_spacng_ms = 1", "agents.ops.min_spacng_ms: unknown key; did you mean `min_spacing_ms`?"),
    ('[agents."lab-[a]"]', "agents.\"lab-[a]\": 'lab-[a]' is no agent id"),
    ('[agents."a b"]', "agents.\"a b\": 'a b' is no agent id"),
    ('[agents."\u212a"]', "agents.\"\u212a\": '\u212a' is no agent id"),
    ("[agents.Ops]\n[agents.ops]", "agents.ops: 'ops' is named by agents.Ops already; keep one"),
    ("[defaults]\nrunner = './x'", "defaults.runner: must be a table, not './x'"),
    ("[defaults]\nrunner = { command = ['x'] }", 'defaults.runner: must be { type = "command"'),
    ("[defaults]\nrunner = { type = 'shell' }", 'defaults.runner: must be { type = "command"'),
    ("[defaults]\nrunner = { type = 'command' }", "defaults.runner.command: is missing"),
    ("[defaults]\nrunner = { type = 'command', command = [] }", "defaults.runner.command: must name a program"),
    ("[defaults]\nrunner = { type = 'command', command = 'x' }", "defaults.runner.command: must be a valid tuple"),
    ("[defaults]\nrunner = { type = 'command', command = ['x', 1] }", "defaults.runner.command[1]: must be a valid string, not 1"),
    ("[defaults]\nrunner = { type = 'command', command = ['x'], cwdd = 'y' }", "defaults.runner.cwdd: unknown key; did you mean `cwd`?"),
    ("[defaults]\nrunner = { type = 'command', command = ['x'], env = { WAKE_TOKEN = '1' } }", "defaults.runner.env: WAKE_TOKEN is set by"),
    ("[defaults]\nrunner = { type = 'command', command = ['x'], env = { 'A=B' = '1' } }", "defaults.runner.env: 'A=B' cannot be"),
    ("[defaults]\nrunner = { type = 'python', target = 'module' }", "defaults.runner.target: must have the form"),
    ("[defaults]\nrunner = { type = 'http', secret_env = 'X' }", "defaults.runner.url: is missing"),
    ("[defaults]\nrunner = { type = 'http', url = 'http://h/' }", "defaults.runner: needs one of secret_file, secret_env and secret"),
    ("[defaults]\nrunner = { type = 'http', url = 'ftp://h/', secret_env = 'X' }", "defaults.runner.url: must have the form https://"),
    ("[defaults]\nrunner = { type = 'http', url = 'http://h:p/', secret_env = 'X' }", "defaults.runner.url: must have the form https://"),
    ("[defaults]\nrunner = { type = 'http', url = 'http://h/ä', secret_env = 'X' }", "defaults.runner.url: must have the form https://"),
    ("[defaults]\nrunner = { type = 'http', url = 'http://h/', secret_env = 'A=B' }", "defaults.runner.secret_env: "),
    (
        "[defaults]\nrunner = { type = 'http', url = 'http://h/', secret_fil = 'x' }",
        "defaults.runner.secret_fil: unknown key; did you mean",
    ),
    ("[defaults]\ntime_limit_s = 0", "defaults.time_limit_s: must be greater than 0, not 0"),
    ("[defaults]\nmax_batch = 5001", "defaults.max_batch: must be less than or equal to 5000"),
    ("[defaults]\nretry_base_ms = 10\nretry_max_ms = 5", "defaults.retry_max_ms: 5 must be at least retry_base_ms = 10"),
    ("[agents.ops]\nretry_max_ms = 5", "agents.ops.retry_max_ms: 5 must be at least retry_base_ms = 2000"),
    ("[routing]\ndefault_agent = '*'", "routing.default_agent: must be one agent id, '*' is a pattern"),
    ("[routing]\ndefault_agent = ['a', 'b']", "routing.default_agent: must be a valid string"),
    ("[routing]\nunknown_agents = 'maybe'", "routing.unknown_agents: must be 'refuse' or 'accept', not 'maybe'"),
    ("[routing.bindings]\nnode = ['a', 'b']", "routing.bindings.node: must be a valid string"),
    ("[routing.bindings]\nnode = 'a*'", "routing.bindings.node: must be one agent id, 'a*' is a pattern"),
    ("[routing.bindings]\nnode = 'a,b'", "routing.bindings.node: 'a,b' is no agent id"),
    ("[routing.bindings]\n'agent:ops:main' = 'lab'", 'routing.bindings."agent:ops:main": '),
    ("[routing.bindings]\n'agent:ops' = 'lab'", 'routing.bindings."agent:ops": '),
    ("[routing.bindings]\n'' = 'lab'", 'routing.bindings."": '),
    ("[pools.inbox]", "pools.inbox: a pool cannot be called inbox"),
    ("[pools.Lab]", "pools.Lab: 'Lab' is no pool name"),
    ("[pools.lab]\npartitions = 0", "pools.lab.partitions: must be greater than or equal to 1"),
    ("[pools.lab]\npartitions = 101", "pools.lab.partitions: must be less than or equal to 100"),
    ("[pools.lab]\nagents = ['a', 'b c']", "pools.lab.agents[1]: 'b c' is no agent id"),
    ("[pools.a]\nagents = ['x-*']\n[pools.b]\nagents = ['y', 'X-*']", "pools.b.agents[1]: 'X-*' is named by pools.a.agents[0] already"),
    ("[lease]\nttl_ms = 15000", "lease: ttl_ms = 15000 must exceed 3 renewals (3 x renew_ms = 15000)"),
    ("[lease]\nttl_ms = 16000\nmargin_ms = 11000", "lease: margin_ms + renew_ms = 16000 must be less than ttl_ms = 16000"),
]


@pytest.mark.parametrize(("text", "start"), CASES, ids=[text.replace("\n", " ") for text, _ in CASES])
def test_one_fault_is_one_problem_that_names_its_key(tmp_path: Path, text: str, start: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(start)


def test_all_faults_of_all_tables_are_reported_at_once(tmp_path: Path) -> None:
    """Also those that only show when two tables are compared, next to faults of single keys."""
    text = """
        [redis]
        slots = 0
        prefx = "x"
        [agents.Ops]
        [agents.ops]
        retry_max_ms = "x"
        [lease]
        ttl_ms = 15000
        [defaults]
        retry_base_ms = 10
        retry_max_ms = 5
        [pools.a]
        agents = ["x"]
        [pools.b]
        agents = ["x"]
        [sweeps]
    """
    found = "\n".join(problems(tmp_path, text))
    keys = [
        "redis.slots",
        "redis.prefx",
        "agents.ops: ",
        "agents.ops.retry_max_ms",
        "lease: ",
        "defaults.retry_max_ms",
        "pools.b.agents[0]",
    ]
    assert [key for key in [*keys, "sweeps: "] if key not in found] == []
    assert found.count("\n") + 1 == len(keys) + 1


def test_a_problem_with_a_runner_does_not_repeat_its_secret(tmp_path: Path) -> None:
    for fault in ("secret_env = 'X'", "secret_env = 1", "ca_file = ''", "url = 'https://me:hunter@h/'", "url = 'https://:hunter@h:port/'"):
        url = "" if "url" in fault else "url = 'https://h/', "
        text = "\n".join(problems(tmp_path, f"[defaults]\nrunner = {{ type = 'http', {url}secret = 'hunter', {fault} }}"))
        assert "hunter" not in text


def test_a_problem_with_the_url_does_not_repeat_the_password(tmp_path: Path) -> None:
    for url in ("redis://:hun/ter@h/0", "http://:hunter@h", "redis://:hunter@h/x", "redis://:hunter@h:port", "redis://[:hunter@h"):
        text = "\n".join(problems(tmp_path, f"[redis]\nurl = '{url}'"))
        assert "hun" not in text
