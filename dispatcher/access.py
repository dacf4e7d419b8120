"""Who may do what on the server: one user for each part of the program, with the least commands and keys that its work needs.

A step runs with the rights of who calls it. EVALSHA itself asks for reading and writing of every key that a step is given, so the keys of
a step stand in one grant with `evalsha` alone, and what may be done to them in others: with `homes` in the first and `hget` in the
second, a worker's steps can read where an agent lives and cannot change it. docs/threats.md says what is left to each role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from dispatcher.config import Config
from dispatcher.names import inbox_queue
from dispatcher.store.keys import CAP_NAMES, Keys
from dispatcher.store.scripts import scripts

CONNECTION = ("ping", "hello", "select", "client|setinfo", "client|setname", "multi", "exec", "discard", "unwatch", "time")
SCRIPTS = ("script|load", "script|exists")
CONFIRMED = ("wait",)  # for replicas, before a promise is made: [redis] wait_replicas
READS = (
    *("exists", "type", "get", "hget", "hmget", "hgetall", "hkeys", "hvals", "hlen", "hexists", "hscan", "llen", "lindex"),
    *("smembers", "scard", "sismember", "xlen", "xrange", "xrevrange", "xpending", "xinfo|groups"),
    *("zrange", "zcard", "zscore", "zrank", "zlexcount", "zrangebylex", "zrangebyscore"),
)
KEYLESS = ("time", "info", "pubsub|numsub", "pubsub|channels")
HEARING, LEAVING = ("subscribe", "psubscribe"), ("unsubscribe", "punsubscribe")
_INBOX_STEPS = ("submit", "claim", "acknowledge", "reject", "drop_inbox")
_DEPOSITING = ("deposit", "suppress", "move", "drop")
_RUNNING = ("acquire", "begin", "resume", "renew", "defer", "settle", "park", "dissolve", "bury", "tick", "cadence", "hold")
_BINDING_COMMANDS = ("sadd", "srem", "zadd", "zrem", "zrangebyscore", "exists", "del")
_SWEEPING = ("sweep", "watch", "reclaim", "trim")


@dataclass(frozen=True)
class Grant:
    """Commands that may be used on keys, `~pattern` to read and write or `%R~pattern` to read them, or on channels, `&pattern`."""

    commands: tuple[str, ...]
    on: tuple[str, ...]

    def __str__(self) -> str:
        return f"({' '.join([*sorted(f'+{command}' for command in self.commands), *self.on])})"


@dataclass(frozen=True)
class User:
    """One user of the server. `plain`: commands that name neither key nor channel."""

    name: str
    plain: tuple[str, ...]
    grants: tuple[Grant, ...]

    def rules(self) -> str:
        """What comes after `on` and the password; everything that is not named is refused."""
        return " ".join(
            ["resetkeys", "resetchannels", "-@all", *(f"+{command}" for command in sorted(set(self.plain))), *map(str, self.grants)]
        )


def hashed(password: str) -> str:
    """A password as it stands in an ACL: who reads the file does not know it."""
    return f"#{sha256(password.encode()).hexdigest()}"


def commands_of(*steps: str) -> tuple[str, ...]:
    """What these steps call on keys, in lower case."""
    found = {command for step in steps for command in scripts()[step].commands}
    return tuple(sorted(found - set(KEYLESS)))


class Roles:
    """The users of one store, as its configuration names prefix, pools and database."""

    def __init__(self, config: Config, database: int = 0) -> None:
        self._prefix, self._keys, self._database = config.redis.prefix, Keys(config.redis.prefix, config.redis.slots), database

    def of(self, role: str, pools: tuple[str, ...] = ()) -> User:
        """`worker` needs the pools that it serves. Raises KeyError for an unknown role."""
        made: dict[str, Callable[[], User]] = {
            "producer": self.producer,
            "ingress": self.ingress,
            "router": self.router,
            "worker": lambda: self.worker(*pools),
            "operator": self.operator,
            "monitor": self.monitor,
            "flower": self.flower,
        }
        return made[role]()

    def all(self, pools: Iterable[str]) -> list[User]:
        """Every role, and a worker of each pool alone."""
        others = [self.producer(), self.ingress(), self.router()]
        return [*others, *(self.worker(pool) for pool in pools), self.operator(), self.monitor(), self.flower()]

    def producer(self) -> User:
        """Hands in completions, and learns nothing of them afterwards."""
        return self._user("producer", CONFIRMED, self._submitting())

    def ingress(self) -> User:
        """A producer that may also ask what became of a completion: `wake web`, and who calls `.get()`."""
        fates = [f"%R~{self._slot('*:*:fates')}", f"%R~{self._slot('*:*:parked')}"]
        grants = (
            *self._submitting(),
            Grant(("hmget",), (f"%R~{self._inbox('seen')}",)),
            Grant(("hget", "zscore"), (f"%R~{self._slot('homes')}", *fates)),
            Grant(("hgetall",), (f"%R~{self._inbox('bindings')}",)),
        )
        return self._user("ingress", CONFIRMED, grants)

    def router(self) -> User:
        """Owns the inbox, deposits into every mailbox, rings everywhere; runs nothing."""
        inbox = [self._inbox(name) for name in ("stream", "seen", "order", "counters", "announced", "dead", "caused", "pins")]
        grants = (
            Grant(("evalsha", "evalsha_ro"), (f"~{self._inbox('*')}", f"~{self._slot('*')}")),
            Grant((*commands_of(*_INBOX_STEPS), "xgroup|create", "hsetnx"), tuple(f"~{key}" for key in inbox)),
            Grant(READS, (f"%R~{self._inbox('*')}", f"%R~{self._slot('*')}")),
            Grant(commands_of(*_DEPOSITING), (f"~{self._slot('*')}",)),
            *self._process(),
            *self._publishing(f"{self._prefix}.*.[0-9][0-9]", f"{self._prefix}.*"),
            *self._publishing(inbox_queue(self._prefix), inbox_queue(self._prefix)),
            *self._consuming(inbox_queue(self._prefix), "inbox", "router"),
            *self._channels("router.inbox"),
        )
        return self._user("router", (*KEYLESS, *LEAVING, *CONFIRMED), grants)

    def worker(self, *pools: str) -> User:
        """Runs the agents of these pools, and reads or writes nothing of another's."""
        own = [f"~{self._slot(pool)}:*" for pool in pools]
        caps = [f"~{self._keys.caps(pool)[name]}" for pool in pools for name in CAP_NAMES]
        caps += [f"~{self._keys.caps(pools[0])['running']}"]
        shared = [self._slot(name) for name in ("homes", "pools", "holds", "wide_holds")]
        grants = [
            Grant(("evalsha", "evalsha_ro"), (*own, *caps, *(f"~{key}" for key in shared))),
            Grant((*commands_of(*_RUNNING, *_SWEEPING), *READS), tuple(own)),
            Grant(commands_of("admit", "place"), tuple(caps)),
            Grant(("hget", "hgetall", "smembers"), tuple(f"%R~{key}" for key in shared)),
            Grant(("sadd",), (f"~{self._slot('pools')}",)),
            *self._process(),
        ]
        for pool in pools:
            grants += self._publishing(f"{self._prefix}.{pool}.[0-9][0-9]", f"{self._prefix}.{pool}.*")
            grants += self._consuming(f"{self._prefix}.{pool}.[0-9][0-9]", pool, pool)
        grants += self._channels(*(f"{kind}.{pool}" for pool in pools for kind in ("worker", "child")))
        return self._user(f"worker-{'-'.join(pools)}", (*KEYLESS, *LEAVING, *CONFIRMED), tuple(grants))

    def operator(self) -> User:
        """Everything that `wake` commands do with the store: binds, holds, revives, drops, mends. No administration of the server."""
        everything = (f"~{self._prefix}:*",)
        changes = ("del", "hset", "hsetnx", "hdel", "hincrby", "incrby", "sadd", "srem", "zadd", "zrem", "xgroup|create")
        grants = (
            Grant(("evalsha", "evalsha_ro"), everything),
            Grant(tuple({*commands_of(*scripts()), *READS, *changes}), everything),
            Grant(("llen",), (f"%R~{self._prefix}.*",)),
            Grant(("publish",), (f"&{self._keys.presence_channel}*",)),  # the nudge of `wake cancel`
            *self._publishing(f"{self._prefix}.*.[0-9][0-9]", f"{self._prefix}.*"),
            *self._publishing(inbox_queue(self._prefix), inbox_queue(self._prefix)),
        )
        return self._user("operator", (*KEYLESS, *CONFIRMED, "scan"), grants)

    def monitor(self) -> User:
        """Reads, and writes nothing: `wake status`, `explain`, `trace`, `dead list`, `audit`, `health`."""
        grants = (Grant((*READS, "evalsha_ro"), (f"%R~{self._prefix}:*",)), Grant(("llen", "exists", "type"), (f"%R~{self._prefix}.*",)))
        return self._user("monitor", KEYLESS, grants)

    def flower(self) -> User:
        """Hears the events of the workers. It cannot speak to them: who may publish to their channel may stop them."""
        kinds = [f"_kombu.binding*.{exchange}" for exchange in ("celeryev", "*celery.pidbox")]
        grants = (
            Grant(("sadd", "srem", "smembers", "exists", "del"), tuple(f"~{kind}" for kind in kinds)),
            Grant(("llen", "del", "exists"), ("~celeryev.*", "~*.reply.celery.pidbox")),
            Grant(("evalsha", *_BINDING_COMMANDS), ("~_kombu.binding_deadlines", *(f"~{kind}" for kind in kinds))),
            Grant(("llen",), (f"%R~{self._prefix}.*",)),
            Grant(("hgetall",), (f"%R~{self._keys.layout}",)),
            Grant(HEARING, (f"&/{self._database}.celeryev/*",)),
        )
        return self._user("flower", ("info", *LEAVING), grants)

    def _user(self, role: str, plain: Iterable[str], grants: tuple[Grant, ...]) -> User:
        return User(f"{self._prefix}-{role}", (*CONNECTION, *SCRIPTS, *plain), grants)

    def _inbox(self, name: str) -> str:
        return f"{self._prefix}:{{inbox}}:{name}"

    def _slot(self, rest: str) -> str:
        return f"{self._prefix}:{{s*}}:{rest}"

    def _submitting(self) -> tuple[Grant, ...]:
        """Key by key: the inbox of others is neither read nor forgotten by what a submit needs elsewhere."""
        step = scripts()["submit"]
        each = [Grant(tuple(sorted(step.commands_on(name))), (f"~{self._inbox(name)}",)) for name in step.keys]
        queue = inbox_queue(self._prefix)
        return (
            Grant(("evalsha",), tuple(f"~{self._inbox(name)}" for name in step.keys)),
            *each,
            Grant(("hgetall", "hsetnx"), (f"~{self._keys.layout}",)),
            Grant(("xadd",), (f"~{self._inbox('acts')}",)),  # `wake wake` leaves a receipt of who asked
            *self._publishing(queue, queue),
        )

    def _process(self) -> tuple[Grant, ...]:
        """What a router and a worker do beside their work: the layout, and reloads."""
        return (
            Grant(("hgetall", "hsetnx"), (f"~{self._keys.layout}",)),
            Grant(("get",), (f"%R~{self._inbox('reload')}",)),
            Grant(("hset",), (f"~{self._inbox('reloads')}",)),
        )

    def _publishing(self, queues: str, exchanges: str) -> tuple[Grant, ...]:
        return (
            Grant(("lpush", "llen"), (f"~{queues}",)),
            Grant(("sadd",), (f"~_kombu.binding.{exchanges}", f"~_kombu.binding_permanent.{exchanges}")),
        )

    def _consuming(self, queues: str, pool: str, name: str) -> tuple[Grant, ...]:
        """What the Celery transport does: its own queues, its unacknowledged messages, and the mailbox of its remote control."""
        unacked = f"{self._prefix}.{pool}.unacked"
        control = ("~_kombu.binding_deadlines", "~_kombu.binding*.celery.pidbox", "~_kombu.binding*.reply.celery.pidbox")
        return (
            Grant(("brpop", "lmpop", "llen", "lpush", "rpush", "exists"), (f"~{queues}",)),
            Grant(("hset", "hget", "hdel", "zadd", "zrem", "zrange", "set", "get", "del", "evalsha", "watch"), (f"~{unacked}*",)),
            Grant(("evalsha", "smembers", *_BINDING_COMMANDS), control),
            Grant(("llen", "del", "exists"), (f"~{name}.*.celery.pidbox",)),
            Grant(("lpush", "llen"), ("~*.reply.celery.pidbox",)),
        )

    def _channels(self, *presences: str) -> tuple[Grant, ...]:
        """It shows its presence and no other's, tells its events, and hears the remote control of Celery without speaking on it."""
        control = f"&/{self._database}.celery.pidbox"
        return (
            Grant(HEARING, (*(f"&{self._keys.presence_channel}{presence}.*" for presence in presences), control)),
            Grant(("publish",), (f"&/{self._database}.celeryev/*",)),
        )
