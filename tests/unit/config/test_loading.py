"""Where the configuration comes from: the order of files, the environment, and paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.config import load
from dispatcher.core.errors import ConfigError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder; `./wake.toml` of the developer must not count."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_without_file_and_variables_the_defaults_hold_and_nobody_is_known() -> None:
    config = load(env={})
    assert config.redis_url() is None
    assert config.source is None
    assert config.data_dir == Path.cwd() / ".wake"
    assert not config.knows("ops")
    assert config.defaults.min_spacing_ms == 30_000


def test_the_argument_wins_over_the_variable_over_the_current_folder(tmp_path: Path) -> None:
    here = written(Path("wake.toml"), "[redis]\nprefix = 'here'")
    named = written(tmp_path / "named.toml", "[redis]\nprefix = 'named'")
    given = written(tmp_path / "given.toml", "[redis]\nprefix = 'given'")
    assert load(given, env={"WAKE_CONFIG": str(named)}).redis.prefix == "given"
    assert load(env={"WAKE_CONFIG": str(named)}).redis.prefix == "named"
    assert load(env={"WAKE_CONFIG": ""}).redis.prefix == "here"
    assert load(env={}).source == here.absolute()


def test_the_process_environment_is_read_when_no_other_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAKE_REDIS_PREFIX", "shell")
    assert load().redis.prefix == "shell"


@pytest.mark.parametrize("variable", [True, False])
def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path, variable: bool) -> None:
    missing = tmp_path / "missing.toml"
    with pytest.raises(ConfigError, match=r"missing\.toml is not usable:\n  there is no such file"):
        load(env={"WAKE_CONFIG": str(missing)}) if variable else load(missing, env={})


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[redis\n", "is not valid TOML: .*line 1"), (b"a = 1\na = 2\n", "is not valid TOML"), (b"\xff\xfe", "is not UTF-8")],
)
def test_a_file_that_cannot_be_parsed_says_why(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "wake.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as error:
        load(path, env={})
    assert error.value.source == str(path)


def test_a_folder_in_place_of_a_file_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, env={})


@pytest.mark.parametrize(
    "text", ["[package]\nname = 'x'\n[targets.build]\n", "[wake]\nurl = 1", "name = 'x'\nurl = 'y'", "[tool]\nx = 1\n[project]\nname = 'x'"]
)
def test_another_programs_file_is_recognised(text: str) -> None:
    written(Path("wake.toml"), text)
    with pytest.raises(ConfigError, match=r"another program's file.*--config or WAKE_CONFIG") as error:
        load(env={})
    assert len(error.value.problems) == 1


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "\ufeff[redis]\n"])
def test_an_empty_file_and_a_byte_order_mark_are_fine(text: str) -> None:
    written(Path("wake.toml"), text)
    assert load(env={}).redis.slots == 64


def test_variables_win_over_the_file_key_by_key(tmp_path: Path) -> None:
    path = written(tmp_path / "wake.toml", "[redis]\nurl = 'redis://file'\nslots = 8\n[lease]\nrenew_ms = 100")
    env = {
        "WAKE_REDIS_URL": "redis://variable",
        "WAKE_LEASE_TTL_MS": "9000",
        "WAKE_DEFAULTS_WAKE_SUBAGENTS": "true",
        "WAKE_DEFAULTS_TIME_LIMIT_S": "2.5",
        "WAKE_DEFAULTS_RUNNER": '{"type": "command", "command": ["./x"]}',
        "WAKE_ROUTING_DEFAULT_AGENT": "Ops",
        "WAKE_ROUTING_BINDINGS": '{"node": "Lab"}',
        "WAKE_BOUNDS_MAX_DEAD": "7",
        "WAKE_SWEEP_INTERVAL_MS": "",
    }
    config = load(path, env)
    assert (config.redis.url, config.redis.slots) == ("redis://variable", 8)
    assert (config.lease.ttl_ms, config.lease.renew_ms) == (9_000, 100)
    assert (config.defaults.wake_subagents, config.defaults.time_limit_s) == (True, 2.5)
    assert config.agent("ops").runner is not None
    assert (config.routing.default_agent, config.routing.bindings) == ("ops", {"node": "lab"})
    assert (config.bounds.max_dead, config.sweep.interval_ms) == (7, 100)


def test_variables_of_a_heartbeat_and_of_a_container_platform_are_no_overrides() -> None:
    """A service called wake-redis makes the platform set WAKE_REDIS_PORT and the like; a runner may call `wake` itself."""
    names = ["WAKE_AGENT_ID", "WAKE_SESSION_KEY", "WAKE_BATCH_ID", "WAKE_ATTEMPT", "WAKE_TOKEN", "WAKE_TRACE", "WAKE_HOME"]
    names += [f"WAKE_REDIS_{end}" for end in ("PORT", "SERVICE_HOST", "SERVICE_PORT", "PORT_6379_TCP", "PORT_6379_TCP_ADDR")]
    assert load(env=dict.fromkeys(names, "tcp://10.0.0.1:6379")).redis_url() is None


def test_a_bad_variable_is_named_and_a_near_miss_is_called_a_typo(tmp_path: Path) -> None:
    path = written(tmp_path / "wake.toml", "[redis]\nslots = 0")
    env = {"WAKE_LEASE_TTL_MS": "soon", "WAKE_REDIS_URLL": "redis://h", "WAKE_ROUTING_BINDINGS": "{", "WAKE_REDIS_PREFIX": "a:b"}
    with pytest.raises(ConfigError) as error:
        load(path, env)
    text = "\n".join(error.value.problems)
    assert "lease.ttl_ms (from WAKE_LEASE_TTL_MS): must be a valid integer, not 'soon'" in text
    assert "redis.prefix (from WAKE_REDIS_PREFIX):" in text
    assert "WAKE_REDIS_URLL: unknown variable; did you mean WAKE_REDIS_URL?" in text
    assert "WAKE_ROUTING_BINDINGS: is not the JSON text of routing.bindings" in text
    assert "redis.slots: must be greater than or equal to 1, not 0" in text
    assert len(error.value.problems) == 5


def test_relative_paths_count_from_the_file_and_those_in_variables_from_here(tmp_path: Path) -> None:
    path = written(tmp_path / "conf" / "wake.toml", "[redis]\ndata_dir = 'state'")
    assert load(path, env={}).data_dir == tmp_path / "conf" / "state"
    assert load(path, env={"WAKE_DATA_DIR": "mine"}).data_dir == Path.cwd() / "mine"
    assert load(path, env={"WAKE_REDIS_DATA_DIR": "mine"}).data_dir == Path.cwd() / "mine"
    assert load(path, env={"WAKE_DATA_DIR": "/abs"}).data_dir == Path("/abs")
    assert load(path, env={}).base_dir == tmp_path / "conf"


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(env={"WAKE_DATA_DIR": "~/state"}).data_dir == tmp_path / "state"
    path = written(tmp_path / "wake.toml", "[redis]\ndata_dir = '~/state'")
    assert load(path, env={}).data_dir == tmp_path / "state"
    assert load(env={"WAKE_CONFIG": "~/wake.toml"}).source == path
