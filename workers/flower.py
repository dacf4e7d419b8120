"""Flower beside the workers: on loopback, behind a password, read-only, with the columns that operators look for."""

from __future__ import annotations

import importlib.util
import logging
import os
import secrets
import tempfile
from pathlib import Path

from dispatcher.app import app as router_app
from dispatcher.app import current_config
from dispatcher.core.errors import ConfigError
from workers import logs
from workers.launch import await_server, follow_supervisor, without_foreign_settings

log = logging.getLogger("wake")
PORT = 5555
ADDRESS = "127.0.0.1"
USER = "wake"
PASSWORD_FILE = "flower.password"
DEFAULTS = {  # each may be overridden by the variable of that name
    "FLOWER_TASKS_COLUMNS": "name,args,state,result,received,runtime,worker",
    "FLOWER_READ_ONLY": "true",  # else whoever has the password may stop workers and send any task
    "FLOWER_MAX_TASKS": "10000",  # about 3 kB of memory each
    "FLOWER_PURGE_OFFLINE_WORKERS": "300",  # s; a worker that was started again has another name
    "FLOWER_CONF": os.devnull,  # not a flowerconfig.py of another program that lies in this folder
}


def run_flower(port: int, address: str) -> None:
    """Becomes Flower; returns when it was told to end. Raises ConfigError when it is not installed or the port is taken."""
    require_flower("flower")
    follow_supervisor()
    without_foreign_settings()
    logs.install()
    config = current_config()
    await_server("flower")
    os.environ.update({name: os.environ.get(name) or value for name, value in DEFAULTS.items()})
    os.environ.pop("FLOWER_UNAUTHENTICATED_API", None)
    if os.environ.get("FLOWER_BASIC_AUTH") or os.environ.get("FLOWER_AUTH"):
        login = "login as set in the environment"
    else:
        # In this process's own memory only: neither `ps` nor the environment that other processes can read shows it.
        path = config.data_dir / PASSWORD_FILE
        os.environ["FLOWER_BASIC_AUTH"] = f"{USER}:{password_in(path)}"
        login = f"user {USER}, password in {path}"
    log.info("flower: http://%s:%d, %s", address, port, login)
    words = ["--quiet", "flower", f"--address={address}", f"--port={port}", f"--conf={os.environ['FLOWER_CONF']}"]
    try:
        router_app.start(words)
    except OSError as error:
        raise ConfigError([f"flower: {address}:{port} cannot be used ({error.strerror}); choose another port"]) from error


def require_flower(operation: str) -> None:
    """Raises ConfigError when the extra is not installed."""
    if importlib.util.find_spec("flower") is None:
        raise ConfigError([f"{operation}: Flower is not installed; install it with pip install 'wake-dispatcher[flower]'"])


def password_in(path: Path) -> str:
    """The password in this file, made up when there is none. Only its owner can read it, and two that start at once agree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")  # 0600
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(24) + "\n")
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(fresh)
    path.chmod(0o600)
    password = path.read_text("utf-8").strip()
    if not password:
        raise ConfigError([f"flower: {path} holds no password; delete it, and a new one is made"])
    return password
