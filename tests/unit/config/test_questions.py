"""What the rest of the project asks a configuration: policies, who is known, pools."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from dispatcher.config import AgentPolicy, CommandRunner, Config, HttpRunner, PythonRunner, load
from dispatcher.config.model import TABLES
from dispatcher.config.origins import agent_settings
from dispatcher.config.sections import PoolSettings
from dispatcher.config.selectors import matching, specificity
from dispatcher.core.errors import InvalidAddress


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "wake.toml"
    path.write_text(
        """
        [defaults]
        runner = { type = "command", command = ["./heartbeat.sh"] }
        window_ms = 1
        min_spacing_ms = 1
        max_batch = 1
        [agents."*-x"]
        window_ms = 2
        [agents."*-longer-x"]
        window_ms = 9
        [agents."lab-*"]
        window_ms = 3
        min_spacing_ms = 3
        [agents."lab-b*"]
        min_spacing_ms = 4
        runner = { type = "python", target = "beats:run" }
        [agents.Ops]
        enabled = false
        runner = { type = "command", command = ["x"], cwd = "sub", env = { A = "1" } }
        [agents.lab-bx]
        max_batch = 5
        [routing]
        default_agent = "Fallback"
        [routing.bindings]
        "Node-Mac" = "Research"
        [pools.lab]
        agents = ["lab-*", "solo"]
        partitions = 4
        concurrency = 2
        pool_type = "prefork"
        [pools.bench]
        agents = ["lab-b*", "LAB-a"]
        [pools.agents]
        agents = ["lab-home"]
        partitions = 3
        """,
        "utf-8",
    )
    return load(path, env={})


def test_a_more_specific_table_replaces_only_the_keys_that_it_names(config: Config) -> None:
    def numbers(agent_id: str) -> tuple[int, int, int]:
        policy = config.agent(agent_id)
        return policy.window_ms, policy.min_spacing_ms, policy.max_batch

    assert numbers("other") == (1, 1, 1)
    assert numbers("lab-a") == (3, 3, 1)
    assert numbers("lab-longer-x") == (3, 3, 1)
    assert numbers("a-longer-x") == (9, 1, 1)
    assert numbers("lab-b") == (3, 4, 1)
    assert numbers("lab-bx") == (3, 4, 5)
    assert numbers("other-x") == (2, 1, 1)
    assert isinstance(config.agent("lab-bx").runner, PythonRunner)


def test_a_value_equal_to_the_default_still_overrides(tmp_path: Path) -> None:
    """What counts is that the key is written, not that it differs."""
    path = tmp_path / "wake.toml"
    path.write_text("[defaults]\nwindow_ms = 9\n[agents.ops]\nwindow_ms = 250", "utf-8")
    assert load(path, env={}).agent("ops").window_ms == AgentPolicy().window_ms == 250


def test_case_does_not_count_and_the_answer_is_kept(config: Config) -> None:
    assert config.agent("OPS") is config.agent("ops")
    assert config.agent("Ops").enabled is False


def test_a_command_runner_comes_with_an_absolute_folder(config: Config, tmp_path: Path) -> None:
    default, own = config.agent("other").runner, config.agent("ops").runner
    assert isinstance(default, CommandRunner)
    assert isinstance(own, CommandRunner)
    assert (default.cwd, own.cwd) == (str(tmp_path), str(tmp_path / "sub"))
    assert (default.command, own.env) == (("./heartbeat.sh",), {"A": "1"})


@pytest.mark.parametrize("agent_id", ["ops", "OPS", "lab-zzz", "any-x", "research", "fallback", "solo", "lab-home"])
def test_who_is_named_anywhere_is_known(config: Config, agent_id: str) -> None:
    assert config.knows(agent_id)


@pytest.mark.parametrize("agent_id", ["opsy", "lab", "node-mac", "", "lab-*", "a:b", "\u212a-x", "x" * 65, "-x"])
def test_all_others_and_what_is_no_id_are_unknown(config: Config, agent_id: str) -> None:
    assert not config.knows(agent_id)


def test_accept_knows_every_valid_id_and_nothing_else() -> None:
    config = Config.model_validate({"routing": {"unknown_agents": "accept"}})
    assert config.knows("whoever")
    assert not config.knows("who ever")


def test_a_pattern_of_a_pool_makes_nobody_known() -> None:
    config = Config.model_validate({"pools": {"lab": {"agents": ["*"]}}})
    assert not config.knows("ops")
    assert config.pool_of("ops") == "lab"


@pytest.mark.parametrize("agent_id", ["", "a b", "agent:ops:main", "*"])
def test_a_policy_or_pool_of_what_is_no_id_is_refused(config: Config, agent_id: str) -> None:
    with pytest.raises(InvalidAddress, match="is no agent id"):
        config.agent(agent_id)
    with pytest.raises(InvalidAddress, match="is no agent id"):
        config.pool_of(agent_id)


@pytest.mark.parametrize(
    ("agent_id", "pool"),
    [("solo", "lab"), ("lab-z", "lab"), ("lab-b1", "bench"), ("Lab-A", "bench"), ("lab-home", "agents"), ("ops", "agents")],
)
def test_the_exact_id_then_the_most_specific_pattern_then_the_default_pool(config: Config, agent_id: str, pool: str) -> None:
    assert config.pool_of(agent_id) == pool


def test_a_pool_that_the_file_does_not_have_is_for_one_agent(config: Config) -> None:
    assert config.pool_names() == ("agents", "lab", "bench")
    assert (config.pool("lab").partitions, config.pool("lab").pool_type) == (4, "prefork")
    assert (config.pool("agents").partitions, Config().pool("agents").partitions) == (3, 16)
    assert (config.pool("ops").partitions, config.pool("ops").concurrency) == (1, 1)


def test_bindings_keep_the_key_and_fold_the_agent(config: Config) -> None:
    assert config.routing.bindings == {"Node-Mac": "research"}


def test_the_url_is_not_in_the_printed_form() -> None:
    assert "secret" not in repr(Config.model_validate({"redis": {"url": "redis://:secret@h"}}))


def test_every_field_is_described() -> None:
    models: list[type[BaseModel]] = [*TABLES.values(), CommandRunner, PythonRunner]
    bare = [f"{m.__name__}.{n}" for m in models for n, f in m.model_fields.items() if not f.description and n != "type"]
    assert bare == []


PATTERNS = st.text("ab-*?", min_size=1, max_size=6)


@given(st.lists(PATTERNS, unique=True), st.text("ab-", min_size=1, max_size=6))
def test_there_is_always_one_most_specific_pattern_whatever_the_order(patterns: list[str], agent_id: str) -> None:
    found = matching(patterns, agent_id)
    assert found == matching(list(reversed(patterns)), agent_id)
    assert [specificity(p) for p in found] == sorted({specificity(p) for p in found})


def test_the_files_of_a_runner_count_from_the_folder_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "wake.toml"
    path.write_text('[agents.ops]\nrunner = { type = "http", url = "https://h/", secret_file = "s", ca_file = "/etc/ca.pem" }\n')
    runner = load(path, env={}).agent("ops").runner
    assert isinstance(runner, HttpRunner)
    assert (runner.secret_file, runner.ca_file) == (str(tmp_path / "s"), "/etc/ca.pem")


def test_what_is_shown_of_a_runner_holds_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "wake.toml"
    path.write_text('[agents.ops]\nrunner = { type = "http", url = "https://h/a?key=hunter", secret = "hunter" }\n')
    config = load(path, env={})
    (shown,) = [setting.value for setting in agent_settings(config, "ops", {}) if setting.key == "runner"]
    assert (shown["url"], shown["secret"], shown["secret_env"]) == ("https://h/a?***", "***", None)
    runner = config.agent("ops").runner
    assert isinstance(runner, HttpRunner)
    assert runner.credential().lines() == ["hunter"]
    assert "'hunter'" not in repr(config)


@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_answers_from_its_own_tables(config: Config, deep: bool) -> None:
    """Every answer that is remembered was given before the copy was made."""
    assert (config.knows("new"), config.knows("x-new"), config.pool_of("new"), config.agent("new").window_ms) == (False, False, "agents", 1)
    tables = {"agents": {"new": AgentPolicy(window_ms=7), "x-*": AgentPolicy()}, "pools": {"solo": PoolSettings(agents=("new",))}}
    copied = config.model_copy(update=tables, deep=deep)
    assert (copied.knows("new"), copied.knows("x-new"), copied.pool_of("new"), copied.agent("new").window_ms) == (True, True, "solo", 7)
    assert (copied.source, config.knows("new")) == (config.source, False)
