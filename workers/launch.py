"""Starting one worker process: which application, which queues, which Celery pool. Always an explicit `-Q`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass

from dispatcher.app import current_config, current_store, forget_current
from dispatcher.config import Config
from dispatcher.core.errors import ConfigError, StoreUnavailable
from dispatcher.names import inbox_queue, pool_queues
from dispatcher.tokens import Keyring
from workers import logs

log = logging.getLogger("wake")
SUPERVISED = "WAKE_SUPERVISED"
ROUTER_THREADS = 2
THREADS = "workers.thread_pool:ThreadPool"
# Celery's loop makes several system calls for each message, and after each one it waits for the interpreter until a thread gives it up.
SWITCH_S = 0.0005
RETRY_S = 0.2


@dataclass(frozen=True)
class Options:
    """What the command line says: one of `route`, `agent`, `pool`; nothing means the default pool."""

    pool: str | None = None
    agent: str | None = None
    route: bool = False
    concurrency: int | None = None


def run(options: Options) -> None:
    """Becomes a worker; returns when it has ended. Raises ConfigError, LayoutMismatch, StoreUnavailable."""
    follow_supervisor()
    without_foreign_settings()
    # For `module:callable` runners. At the end, so that a `workers` package there cannot stand in for ours.
    sys.path.append(os.getcwd())
    logs.install()
    config = current_config()
    if options.pool and options.pool not in config.pool_names():
        raise ConfigError([f"worker --pool {options.pool}: no such pool; there are {', '.join(config.pool_names())}"])
    await_server("router" if options.route else "worker")
    if options.route:
        keyring = Keyring(config)
        keyring.keys()  # a fault in them is told now, not by the first token
        if config.routing.require_token:
            keyring.require("worker --route with [routing] require_token")
        _consume(None, [inbox_queue(config.redis.prefix)], "threads", options.concurrency or ROUTER_THREADS)
        return
    pool = pool_of_agent(options.agent, config) if options.agent else options.pool or "agents"
    settings = config.pool(pool)
    queues = pool_queues(config.redis.prefix, pool, settings.partitions)
    _consume(pool, queues, settings.pool_type, options.concurrency or settings.concurrency)


def pool_of_agent(agent_id: str, config: Config) -> str:
    """The pool of one agent alone. If the configuration has none, the agent moves into one named after it.

    Waits while the agent runs elsewhere. Raises ConfigError for an unknown agent, or when a pool of that name serves others.
    """
    agent_id = agent_id.lower()
    if not config.knows(agent_id):
        raise ConfigError([f"worker --agent {agent_id}: not known; add [agents.{agent_id}] to the configuration"])
    configured = config.pool_of(agent_id)
    if config.pool(configured).agents == (agent_id,):
        return configured
    if agent_id in config.pool_names():
        raise ConfigError([f"worker --agent {agent_id}: the pool {agent_id} serves others as well; give the agent a pool of its own"])
    store = current_store()
    while True:
        home = store.ledger.home_of(agent_id) or (configured, configured)
        if home[0] == agent_id or store.mailbox.move(agent_id, home[0], agent_id, configured) in ("MOVED", "ALREADY"):
            return agent_id
        time.sleep(RETRY_S)


def _consume(pool: str | None, queues: list[str], pool_type: str, concurrency: int) -> None:
    from dispatcher.app import app as router_app
    from workers import steps
    from workers.app import app, serving

    serving.prefork = pool_type == "prefork"
    if pool is not None:
        serving.pool = pool
    steps.install()
    chosen = router_app if pool is None else app
    name = "router" if pool is None else pool
    # Without `--pool` this setting counts.
    chosen.conf.worker_pool = THREADS if pool_type == "threads" else pool_type
    sys.setswitchinterval(SWITCH_S)
    chosen.worker_main(
        [
            *(["--quiet"] if current_config().logging.format == "json" else []),  # no banner among the lines
            "worker",
            "--queues",
            ",".join(queues),
            "--concurrency",
            str(concurrency),
            "--hostname",
            f"{name}.{os.getpid()}@%h",
            "--without-gossip",
            "--without-mingle",
            "--task-events",
            "--loglevel",
            "INFO",
        ]
    )


def without_foreign_settings() -> None:
    """A host program's Celery settings are not ours; CELERY_BROKER_URL would even win over wake.toml."""
    for name in [name for name in os.environ if name.startswith("CELERY_")]:
        del os.environ[name]


def await_server(command: str) -> None:
    """A process may be started before its server; it waits, and says so once."""
    said = False
    while True:
        try:
            current_store().ledger.now_ms()
            return
        except StoreUnavailable as error:
            if not said:
                log.warning("%s: %s; waiting", command, error)
                said = True
            forget_current()
            time.sleep(RETRY_S)


def follow_supervisor() -> None:
    """Under a supervisor, standard input is a pipe that only it holds: when it ends, this process drains and ends too."""
    if os.environ.pop(SUPERVISED, None) is None:
        return
    supervisor_pipe = os.dup(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)

    def watch() -> None:
        while os.read(supervisor_pipe, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor-watch", daemon=True).start()
