"""Ingress tokens: who may report for which agents. Signed with a key that ingress and routers share; nothing about them is stored.

The keys come from the variable WAKE_TOKEN_KEYS (separated by white space), else from the files of [tokens] key_files, else from
`data_dir/token.keys`; one a line, `wk_…`. The first signs, all verify. Files are read again when they change.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jwt

from dispatcher.config import Config
from dispatcher.core.errors import ConfigError, Forbidden, TokenRefused
from dispatcher.core.grant import Grant, selector_problem

log = logging.getLogger(__name__)
VARIABLE = "WAKE_TOKEN_KEYS"
FILE_NAME = "token.keys"
MARK = "wk_"
KEY_BYTES = 32
AUDIENCE = "wake-ingress"
WAKES = "wakes"
LEEWAY_S = 30  # clocks of different hosts
REMEDY = "make one with `wake token mint`"


@dataclass(frozen=True, slots=True)
class Key:
    """One secret and its public name, which a token's header repeats."""

    name: str
    secret: bytes


def new_key() -> str:
    """A fresh key as it stands in a file."""
    return MARK + base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode().rstrip("=")


def key_files(config: Config) -> list[Path]:
    """Where the keys are looked for. The default file need not exist."""
    named = [config.base_dir / Path(name).expanduser() for name in config.tokens.key_files]
    return named or [config.data_dir / FILE_NAME]


class Keyring:
    """The keys of one configuration. Safe for threads."""

    def __init__(self, config: Config, env: Mapping[str, str] | None = None) -> None:
        self._config, self._env = config, os.environ if env is None else env
        self._read: tuple[object, tuple[Key, ...]] | None = None

    def keys(self) -> tuple[Key, ...]:
        """The first signs. Raises ConfigError when they cannot be read; keys that were good before then stay in use."""
        seen = self._stamp()
        known = self._read
        if known is not None and known[0] == seen:
            return known[1]
        try:
            found = tuple(_key(text) for text in self._texts())
        except ConfigError as error:
            if known is None:
                raise
            log.error("%s; the keys that were read before stay in use", error)
            found = known[1]
        self._read = (seen, found)
        return found

    def require(self, operation: str) -> None:
        """Raises ConfigError when there is no key."""
        if not self.keys():
            raise ConfigError([f"{operation}: there is no token key; make one with `wake token keygen`, or set {VARIABLE}"])

    def mint(self, agents: Sequence[str], *, ttl_s: int, now_s: int, wakes: bool = False) -> str:
        """A token for these agents. Raises ConfigError without a key, ValueError for a bad agent or time."""
        self.require("mint a token")
        faults = [f"{agent!r} {problem}" for agent in agents if (problem := selector_problem(agent))]
        if faults or not agents or ttl_s <= 0:
            raise ValueError("; ".join(faults) or "a token names at least one agent and lasts at least a second")
        key = self.keys()[0]
        claims = {"aud": AUDIENCE, "iat": now_s, "exp": now_s + ttl_s, "jti": secrets.token_hex(8), "agents": list(agents)}
        return jwt.encode(claims | ({"scope": WAKES} if wakes else {}), key.secret, algorithm="HS256", headers={"kid": key.name})

    def verify(self, token: str, at_s: float) -> Grant:
        """What the token allowed at that time. Raises TokenRefused; its message never repeats the token."""
        try:
            name = jwt.get_unverified_header(token).get("kid")
            key = next((key for key in self.keys() if key.name == name), None)
            if key is None:
                raise TokenRefused(f"token refused: it is signed with a key that is not known here; {REMEDY}")
            # The time is compared here: what lay in the inbox for long is judged by the time at which it was accepted.
            only = {"require": ["exp", "aud"], "verify_exp": False, "verify_nbf": False, "verify_iat": False}
            claims = jwt.decode(token, key.secret, algorithms=["HS256"], audience=AUDIENCE, options=only)  # type: ignore[arg-type]  # all are its options
        except (jwt.PyJWTError, ValueError) as error:
            raise TokenRefused(f"token refused: it is no token of ours ({type(error).__name__}); {REMEDY}") from None
        agents, expires = claims.get("agents"), claims["exp"]
        if not isinstance(agents, list) or not all(isinstance(agent, str) and not selector_problem(agent) for agent in agents):
            raise TokenRefused(f"token refused: it names no agents; {REMEDY}")
        if not isinstance(expires, int) or at_s > expires + LEEWAY_S:
            raise TokenRefused(f"token refused: it has expired; {REMEDY}")
        return Grant(tuple(agents), WAKES in str(claims.get("scope", "")).split())

    def _texts(self) -> list[str]:
        if self._env.get(VARIABLE):
            return self._env[VARIABLE].split()
        words: list[str] = []
        for path in key_files(self._config):
            try:
                words += [word for line in path.read_text("ascii").splitlines() if (word := line.strip()) and not word.startswith("#")]
            except FileNotFoundError:
                if self._config.tokens.key_files:
                    raise ConfigError([f"tokens.key_files: there is no {path}; make it with `wake token keygen {path}`"]) from None
            except (OSError, ValueError) as error:
                raise ConfigError([f"tokens.key_files: {path} cannot be read ({type(error).__name__})"]) from None
        return words

    def _stamp(self) -> object:
        if self._env.get(VARIABLE):
            return hashlib.sha256(self._env[VARIABLE].encode()).digest()
        return tuple(_stamp_of(path) for path in key_files(self._config))


def authorize(grant: Grant, agent_id: str, *, wake: bool, what: str) -> None:
    """Raises Forbidden when the grant does not cover this agent, or asks for a wake without that scope."""
    if not grant.covers(agent_id):
        raise Forbidden(f"{what}: forbidden: its token does not cover agent={agent_id}; {REMEDY} --agent {agent_id}")
    if wake and not grant.wakes:
        raise Forbidden(f"{what}: forbidden: its token is for completions, not for wakes of agent={agent_id}; {REMEDY} --wakes")


def _key(text: str) -> Key:
    try:
        secret = base64.b64decode(text.removeprefix(MARK) + "=" * (-len(text.removeprefix(MARK)) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not text.startswith(MARK) or len(secret) < KEY_BYTES:
        raise ConfigError([f"token keys: a line is no key ({MARK} and at least {KEY_BYTES} bytes in base64url); see `wake token keygen`"])
    return Key(hashlib.sha256(secret).hexdigest()[:12], secret)


def _stamp_of(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
