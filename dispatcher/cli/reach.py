"""How a command comes to its configuration and its server, and the two options that every command has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # imported when a command runs: `wake --help` needs neither Celery nor a client
    from dispatcher.config import Config
    from dispatcher.dead_letters import DeadLetters
    from dispatcher.doorbell import Doorbell
    from dispatcher.routing import Router
    from dispatcher.store.opened import Store

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
ConfigFile = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="Configuration; default: WAKE_CONFIG, then ./wake.toml.", show_default=False)
]


@dataclass(frozen=True)
class Reach:
    """The configuration and the open store of one command."""

    config: Config
    store: Store

    def doorbell(self) -> Doorbell:
        from dispatcher.app import app
        from dispatcher.doorbell import Doorbell

        return Doorbell(app, self.store, self.config)

    def router(self) -> Router:
        from dispatcher.routing import Router

        return Router(self.store, self.config, self.doorbell())

    def dead_letters(self) -> DeadLetters:
        from dispatcher.dead_letters import DeadLetters
        from dispatcher.submit import announce_inbox

        return DeadLetters(self.store, self.config, self.doorbell(), announce_inbox)


def configuration(config_path: str | None) -> Config:
    """The configuration alone, also of processes that this one starts or becomes. Raises ConfigError."""
    from dispatcher.config import load

    name_configuration(config_path)
    return load()


def name_configuration(config_path: str | None) -> None:
    """Makes the file the one of this process and its children, without reading it yet."""
    if config_path:
        os.environ["WAKE_CONFIG"] = str(Path(config_path).expanduser().absolute())


def reach(config_path: str | None, *, writes: bool = False) -> Reach:
    """Raises ConfigError, StoreUnavailable, and for a command that writes LayoutMismatch."""
    from dispatcher import app
    from dispatcher.store.layout import check_layout

    config = app.use_config(config_path) if config_path else app.current_config()
    store = app.current_store()
    if writes:
        check_layout(store.client, store.keys)
    return Reach(config, store)


def token_words() -> dict[str, str]:
    """The token of this environment, as a field of what is handed in; `wake token mint` makes one."""
    token = os.environ.get("WAKE_INGRESS_TOKEN", "")
    return {"token": token} if token else {}
