"""The Lua steps: loaded from their files, called by name with typed keys and arguments, answered by a status word.

The header of each file is the contract. From it come the order of KEYS and ARGV and the words that may be answered, so that
a wrong index cannot be written. A call with other names, or an answer outside the contract, is a `ScriptContractError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, NamedTuple

from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as NoAnswer

from dispatcher.core.errors import ScriptContractError
from dispatcher.store.connect import cannot_serve
from dispatcher.store.keys import AGENT_NAMES, DERIVE, POOL_NAMES, AgentKeys
from dispatcher.store.wire import Posted, Wire, bulk, packed

_MOVE = (*POOL_NAMES, *AGENT_NAMES)
_GROUPS = {"@derive": DERIVE, "@from": tuple(f"from_{name}" for name in _MOVE), "@to": tuple(f"to_{name}" for name in _MOVE)}
Argument = str | int | float
GAP = "\0"  # stands in no key: names are checked where they come in
HEADS = 1_024  # packed keys that are remembered for each step; about 1 KB each
# A receipt, the start of a heartbeat, its end: what somebody outside relies on. All else may be lost with them, and is done again.
PROMISES = frozenset({"submit", "begin", "resume", "settle", "park", "bury", "dissolve"})
FAILED = "FAILED"  # no step says it: the status of a call that the server refused for a fault of its own data


class Reply(NamedTuple):
    """What a step answered: its status word and the rest of the array."""

    status: str
    rest: list[Any]


class Script:
    """One Lua step, as its header declares it."""

    def __init__(self, name: str, source: str, include: Mapping[str, str]) -> None:
        self.name = name
        shebang, _, body = source.partition("\n")
        header = {word: line for line in body.splitlines() for word, line in _header_line(line)}
        self.keys = tuple(k for part in header["KEYS"].split() for k in _GROUPS.get(part, (part,)))
        self.args = tuple(header["ARGV"].split())
        self.statuses = frozenset(re.findall(r'\{"([A-Z_]+)"', header["REPLY"]))
        self.read_only = "no-writes" in shebang
        prelude = "local K = { " + ", ".join(f"{k} = KEYS[{i}]" for i, k in enumerate(self.keys, 1)) + " }\n"
        prelude += "local A = { " + ", ".join(f"{a} = ARGV[{i}]" for i, a in enumerate(self.args, 1)) + " }\n"
        parts = [include[part] for part in header.get("INCLUDE", "").split()]
        self.source = "\n".join([shebang, prelude, *parts, body])
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        self._head = lru_cache(maxsize=HEADS)(self._packed_head)
        self._shapes: dict[tuple[str, str], bytes] = {}

    @property
    def commands(self) -> frozenset[str]:
        """Every server command that the step calls, in lower case, a subcommand behind `|`."""
        return frozenset(command for command, _ in self._calls())

    def commands_on(self, key: str) -> frozenset[str]:
        """Those that it calls on this of its keys by name."""
        return frozenset(command for command, on in self._calls() if on == key)

    def _calls(self) -> Iterable[tuple[str, str]]:
        for command, rest in re.findall(r"(?:redis\.p?call|many)\(\s*'([A-Z]+)'([^)]*)", self.source):
            sub = re.match(r",\s*'([A-Z]+)'", rest) if command == "PUBSUB" else None
            on = re.search(r"\bK\.(\w+)", rest)
            yield f"{command}|{sub[1]}".lower() if sub else command.lower(), on[1] if on else ""

    def packed(self, keys: Mapping[str, str], args: Mapping[str, Argument]) -> bytes:
        """The call as it is sent. Raises ScriptContractError for a name that is missing, or that the header does not declare."""
        try:
            head = self._agent_head(keys) if isinstance(keys, AgentKeys) else self._head(tuple(map(keys.__getitem__, self.keys)))
            words = [_bytes(args[name]) for name in self.args]
        except KeyError as error:
            raise ScriptContractError(f"{self.name}: {error} is declared in its header but was not given") from None
        if len(args) != len(self.args):
            raise ScriptContractError(f"{self.name}: {sorted(set(args) - set(self.args))} is not declared in its header")
        return head + bulk(words)

    def _agent_head(self, keys: AgentKeys) -> bytes:
        """All agents of a slot and pool whose ids are of one length share a head with a gap: there may be a million of them."""
        gap = GAP * len(keys.agent_id)
        shape = keys.where, gap
        head = self._shapes.get(shape)
        if head is None:
            if len(self._shapes) >= HEADS:
                self._shapes.clear()
            like = AgentKeys(keys.shared, keys.where, gap)
            head = self._shapes[shape] = self._packed_head(tuple(map(like.__getitem__, self.keys)))
        return head.replace(gap.encode(), keys.agent_id.encode())

    def _packed_head(self, keys: tuple[str, ...]) -> bytes:
        word = b"EVALSHA_RO" if self.read_only else b"EVALSHA"  # so that a user may call it who may only read
        parts = [word, self.sha.encode(), b"%d" % len(keys), *(key.encode() for key in keys)]
        return b"*%d\r\n" % (len(parts) + len(self.args)) + bulk(parts)

    def reply(self, raw: Any) -> Reply:
        if not isinstance(raw, list) or not raw or raw[0] not in self.statuses:
            raise ScriptContractError(f"{self.name}: {raw!r} is not a reply that its header declares")
        return Reply(raw[0], raw[1:])


def _bytes(word: Argument) -> bytes:
    return word.encode("utf-8", "replace") if isinstance(word, str) else repr(word).encode()


def _header_line(line: str) -> Iterable[tuple[str, str]]:
    found = re.match(r"-- (KEYS|ARGV|REPLY|INCLUDE)\s+(.*)", line)
    return [(found[1], found[2])] if found else []


@cache
def scripts() -> dict[str, Script]:
    """All steps by name, read from the package once."""
    folder = files("dispatcher.store") / "lua"
    include = {p.name[:-4]: p.read_text("utf-8") for p in (folder / "include").iterdir() if p.name.endswith(".lua")}
    return {p.name[:-4]: Script(p.name[:-4], p.read_text("utf-8"), include) for p in folder.iterdir() if p.name.endswith(".lua")}


class Replicas(NamedTuple):
    """How many must have what a promise is made of, and how long the promise waits for them."""

    wanted: int = 0
    within_ms: int = 1_000


NONE = Replicas()


class Call(NamedTuple):
    """One call that is to be made: a step with its keys and arguments."""

    script: str
    keys: Mapping[str, str]
    args: Mapping[str, Argument]


class PostedCalls:
    """Calls whose replies are on their way."""

    def __init__(self, caller: Caller, calls: list[Call], posted: Posted) -> None:
        self._caller, self._calls, self._posted = caller, calls, posted

    def replies(self) -> list[Reply]:
        """As `Caller.call_all`. To be called once."""
        raw = self._posted.replies()
        raw = self._caller.refilled(self._calls, self._caller.confirmed(raw) if len(raw) > len(self._calls) else raw)
        for r in raw:
            if isinstance(r, Exception):
                raise r
        return [scripts()[c.script].reply(r) for c, r in zip(self._calls, raw, strict=True)]


class Caller:
    """Calls steps on one server, alone or many in one round trip. A script cache that was flushed is refilled."""

    def __init__(self, client: Any, replicas: Replicas = NONE) -> None:
        # redis-py types its replies as Any | Awaitable[Any]; the client here is the synchronous one.
        self.client = client
        self.wire = Wire(client)
        self.replicas = replicas
        self._wait = [packed("WAIT", replicas.wanted, replicas.within_ms)]

    def call(self, script: str, keys: Mapping[str, str], **args: Argument) -> Reply:
        return self.call_all([Call(script, keys, args)])[0]

    def call_all(self, calls: list[Call], *, apart: bool = False) -> list[Reply]:
        """The replies in order. Raises the error of the first call that the server refused, after all were tried.

        `apart`: calls for many agents. One that is refused for a fault of its own data is answered FAILED with the error's text, and costs
        the others nothing; an error that concerns the whole server is raised all the same.
        """
        raw = self.refilled(calls, self._round([(scripts()[c.script], c) for c in calls]))
        for r in raw:
            if isinstance(r, Exception) and not (apart and isinstance(r, ResponseError) and not cannot_serve(r)):
                raise r
        return [
            Reply(FAILED, [f"{c.script}: {r}"]) if isinstance(r, Exception) else scripts()[c.script].reply(r)
            for c, r in zip(calls, raw, strict=True)
        ]

    def refilled(self, calls: list[Call], raw: list[Any]) -> list[Any]:
        """The replies, with a second call where the server did not know the script: its cache was flushed, or it was promoted just now."""
        again = [i for i, r in enumerate(raw) if isinstance(r, NoScriptError)]
        if again:
            load = [scripts()[name] for name in {calls[i].script for i in again}]
            for i, r in zip(again, self._round([(scripts()[calls[i].script], calls[i]) for i in again], load), strict=True):
                raw[i] = r
        return raw

    def post_all(self, calls: list[Call]) -> PostedCalls:
        """Sends the calls and returns at once. Raises what the connection raises; then it is unknown what took effect."""
        commands = [scripts()[c.script].packed(c.keys, c.args) for c in calls]
        return PostedCalls(self, calls, self.wire.post(commands + self._wait if self._promises(calls) else commands))

    def _round(self, calls: list[tuple[Script, Call]], load: Sequence[Script] = ()) -> list[Any]:
        """`load`: scripts to give the server before. Over the same connection: after a failover another one may lead to another server."""
        commands = [packed("SCRIPT", "LOAD", script.source) for script in load]
        commands += [script.packed(call.keys, call.args) for script, call in calls]
        if not self._promises(call for _, call in calls):
            return self.wire.exchange(commands)[len(load) :]
        return self.confirmed(self.wire.exchange(commands + self._wait)[len(load) :])

    def _promises(self, calls: Iterable[Call]) -> bool:
        return self.replicas.wanted > 0 and any(call.script in PROMISES for call in calls)

    def confirmed(self, raw: list[Any]) -> list[Any]:
        """The replies without the one of WAIT. Raises NoAnswer when too few replicas have what they tell of; repeating it is safe."""
        *replies, copies = raw
        if isinstance(copies, Exception):
            raise copies
        if copies < self.replicas.wanted and not all(isinstance(reply, Exception) for reply in replies):
            raise NoAnswer(f"{copies} of {self.replicas.wanted} replicas confirmed it within {self.replicas.within_ms} ms")
        return replies
