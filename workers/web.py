"""The ingress over HTTP as a process: what it needs before it listens. It listens at once, and answers 503 while no server is there."""

from __future__ import annotations

import importlib.util

from dispatcher.app import current_config
from dispatcher.config import Config
from dispatcher.core.errors import ConfigError
from dispatcher.tokens import Keyring
from workers import logs
from workers.launch import follow_supervisor, without_foreign_settings


def run_web(host: str | None, port: int | None, uds: str | None) -> None:
    """Serves until it is told to end. Raises ConfigError: not installed, no key, an address that cannot be used."""
    given = {"host": host, "port": port, "uds": uds}
    changed: dict[str, str | int | None] = {name: value for name, value in given.items() if value is not None}
    if host is not None or port is not None:
        changed["uds"] = None  # the command line wins over a configured socket
    config = current_config()
    config = config.model_copy(update={"http": config.http.model_copy(update=changed)})
    require_http("web", config)
    follow_supervisor()
    without_foreign_settings()
    logs.install()
    from dispatcher.http.serve import serve  # the extra is there

    serve(config)


def require_http(operation: str, config: Config) -> None:
    """Raises ConfigError when the extra is not installed, or tokens are asked for and there is no key to check them with."""
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError([f"{operation}: {' and '.join(missing)} not installed; install with pip install 'wake-dispatcher[http]'"])
    keyring = Keyring(config)
    keyring.keys()
    if config.http.require_token or config.routing.require_token:
        keyring.require(operation)
