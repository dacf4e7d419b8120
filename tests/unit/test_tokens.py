"""Ingress tokens: what is covered, for how long, under which key; and that no message repeats one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from dispatcher.config import Config, load
from dispatcher.core.errors import ConfigError, Forbidden, TokenRefused
from dispatcher.core.grant import Grant, selector_problem
from dispatcher.tokens import AUDIENCE, LEEWAY_S, VARIABLE, Keyring, authorize, new_key

NOW_S = 1_800_000_000


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "wake.toml").write_text('[tokens]\nkey_files = ["a.keys", "b.keys"]\n[agents.ops]\n')
    (tmp_path / "b.keys").write_text("")
    return load(tmp_path / "wake.toml", {})


def ring(*keys: str) -> Keyring:
    return Keyring(Config(), {VARIABLE: " ".join(keys)})


def test_a_token_says_what_was_minted() -> None:
    keyring = ring(new_key())
    grant = keyring.verify(keyring.mint(["ops", "lab-*"], ttl_s=60, now_s=NOW_S, wakes=True), NOW_S)
    assert grant == Grant(("ops", "lab-*"), True)
    assert not keyring.verify(keyring.mint(["ops"], ttl_s=60, now_s=NOW_S), NOW_S).wakes


@pytest.mark.parametrize(
    ("agent", "covered"),
    [("ops", True), ("lab-1", True), ("lab-", True), ("ops2", False), ("lab", False), ("op", False), ("xlab-1", False)],
)
def test_it_covers_the_agents_that_it_names(agent: str, covered: bool) -> None:
    grant = Grant(("ops", "lab-*"), False)
    assert grant.covers(agent) is covered
    if not covered:
        with pytest.raises(Forbidden, match=f"agent={agent}"):
            authorize(grant, agent, wake=False, what="route")


def test_wakes_are_a_scope_of_their_own() -> None:
    authorize(Grant(("ops",), True), "ops", wake=True, what="route")
    with pytest.raises(Forbidden, match="not for wakes"):
        authorize(Grant(("ops",), False), "ops", wake=True, what="route")


@pytest.mark.parametrize("selector", ["", "*", "?", "*ops", "OPS", "a b", "ops,lab", "[a-z]*", "x" * 65, "é", "-a"])
def test_nobody_can_mint_for_everybody(selector: str) -> None:
    assert selector_problem(selector)
    with pytest.raises(ValueError, match=r"."):
        ring(new_key()).mint(["ops", selector], ttl_s=60, now_s=NOW_S)


@pytest.mark.parametrize(("agents", "ttl_s"), [([], 60), (["ops"], 0), (["ops"], -1)])
def test_a_token_names_somebody_and_lasts(agents: list[str], ttl_s: int) -> None:
    with pytest.raises(ValueError, match="at least"):
        ring(new_key()).mint(agents, ttl_s=ttl_s, now_s=NOW_S)


def test_it_ends() -> None:
    keyring = ring(new_key())
    token = keyring.mint(["ops"], ttl_s=60, now_s=NOW_S)
    keyring.verify(token, NOW_S + 60 + LEEWAY_S)
    with pytest.raises(TokenRefused, match="expired"):
        keyring.verify(token, NOW_S + 61 + LEEWAY_S)


def test_keys_rotate_while_tokens_of_both_are_out(config: Config) -> None:
    """The first signs, all verify; a key that is gone verifies nothing; files are read again when they change."""
    old, new = new_key(), new_key()
    first = config.base_dir / "a.keys"
    first.write_text(f"# of last week\n  # and indented\n{old}\n")
    keyring = Keyring(config, {})
    before = keyring.mint(["ops"], ttl_s=60, now_s=NOW_S)
    first.write_text(f"{new}\n{old}\n")
    after = keyring.mint(["ops"], ttl_s=60, now_s=NOW_S)
    assert jwt.get_unverified_header(before)["kid"] != jwt.get_unverified_header(after)["kid"]
    assert keyring.verify(before, NOW_S) == keyring.verify(after, NOW_S)
    first.write_text(f"{new}\n")
    keyring.verify(after, NOW_S)
    with pytest.raises(TokenRefused, match="not known here"):
        keyring.verify(before, NOW_S)


def test_keys_in_the_environment_stand_for_the_files(config: Config) -> None:
    key = new_key()
    token = ring(key).mint(["ops"], ttl_s=60, now_s=NOW_S)
    assert Keyring(config, {VARIABLE: key}).verify(token, NOW_S).agents == ("ops",)


def test_keys_that_broke_while_in_use_stay_in_use(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    first = config.base_dir / "a.keys"
    first.write_text(new_key())
    keyring = Keyring(config, {})
    token = keyring.mint(["ops"], ttl_s=60, now_s=NOW_S)
    first.write_text("half a li")
    keyring.verify(token, NOW_S)
    assert "stay in use" in caplog.text
    first.unlink()
    keyring.verify(token, NOW_S)
    with pytest.raises(ConfigError, match=r"there is no .*a\.keys"):
        Keyring(config, {}).keys()


@pytest.mark.parametrize("line", ["wk_c2hvcnQ", "wk-other", "wk_" + "!" * 43, "c2VjcmV0" * 6])
def test_a_line_that_is_no_key_is_a_fault_and_is_not_repeated(line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ring(*line.split()).keys()
    assert line not in str(caught.value)


def test_without_a_key_nothing_is_minted_and_nothing_is_valid() -> None:
    keyring = Keyring(Config(), {})
    with pytest.raises(ConfigError, match="wake token keygen"):
        keyring.mint(["ops"], ttl_s=60, now_s=NOW_S)
    with pytest.raises(TokenRefused):
        keyring.verify(ring(new_key()).mint(["ops"], ttl_s=60, now_s=NOW_S), NOW_S)


def forged(key: str, secret: bytes | None = None, algorithm: str = "HS256", kid: str | None = None, **claims: Any) -> str:
    keyring = ring(key)
    (known,) = keyring.keys()
    said = {"aud": AUDIENCE, "exp": NOW_S + 60, "iat": NOW_S, "agents": ["ops"]} | claims
    words = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(words, known.secret if secret is None else secret, algorithm=algorithm, headers={"kid": kid or known.name})


KEY = "wk_" + "c2VjcmV0" * 6  # fixed: pytest names tests by their parameters


def test_an_unsigned_token_is_refused() -> None:
    (known,) = ring(KEY).keys()
    claims = {"aud": AUDIENCE, "exp": NOW_S + 60, "agents": ["ops"]}
    with pytest.raises(TokenRefused):
        ring(KEY).verify(jwt.encode(claims, "", algorithm="none", headers={"kid": known.name}), NOW_S)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é" * 50,
        forged(KEY, algorithm="HS512", secret=b"x" * 64),
        forged(KEY, secret=b"x" * 32),
        forged(KEY, kid="another"),
        forged(KEY, aud="somebody-else"),
        forged(KEY, aud=None),
        forged(KEY, exp=None),
        forged(KEY, exp="soon"),
        forged(KEY, agents=None),
        forged(KEY, agents="ops"),
        forged(KEY, agents=["*"]),
        forged(KEY, agents=[1]),
        forged(KEY)[:-4] + "AAAA",
    ],
)
def test_a_forged_token_is_refused_without_a_word_of_it(token: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        ring(KEY).verify(token, NOW_S)
    assert len(token) < 5 or token not in str(caught.value)
    assert ring(KEY).verify(forged(KEY), NOW_S).agents == ("ops",)
