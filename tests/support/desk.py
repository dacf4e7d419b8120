"""One store with routers on it, driven by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dispatcher.config import Config, load
from dispatcher.routing import Router
from dispatcher.store.opened import Store, open_store
from dispatcher.submit import completion_of, submission_of

TOML = """
[agents.ops]
[agents.research]
[agents."lab-*"]
[routing.bindings]
"node-mac" = "research"
"""


class Bells:
    """Notes who was rung."""

    def __init__(self) -> None:
        self.rung: list[tuple[str, str]] = []

    def ring_all(self, agents: Iterable[tuple[str, str]]) -> int:
        before = len(self.rung)
        self.rung += agents
        return len(self.rung) - before


class Desk:
    """A store at `url`, configured by a wake.toml in `folder`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        self.config = self.configured(TOML)
        self.store: Store = open_store(self.config, url)
        self.store.inbox.prepare()
        self.bells = Bells()

    def configured(self, text: str) -> Config:
        path = self.folder / "wake.toml"
        path.write_text(text)
        return load(path, {})

    def router(self, text: str = TOML) -> Router:
        """A router of its own process, as far as the store can tell."""
        router = Router(self.store, self.configured(text), self.bells)
        router.consumer = f"{router.consumer}-{id(router)}"
        return router

    def submit(self, **words: Any) -> str:
        completion = completion_of({"exit_code": 1} | words)
        self.store.inbox.submit(submission_of(completion))
        return completion.completion_id

    def fate(self, completion_id: str) -> tuple[str, str | None]:
        where = self.store.ledger.where(completion_id)
        assert where
        return where.fate, where.agent_id

    def dead(self) -> dict[str, str]:
        return {letter.completion_id: letter.reason for letter in self.store.ledger.dead_letters()}

    def half_routed(self, router: Router) -> None:
        """As far as a router comes that dies after the deposit and before the acknowledgement."""
        routed = router.own_all(self.store.inbox.claim(router.consumer, 10), Counter())
        self.store.mailbox.deposit_all([item.deposit for item in routed])

    def taken_over(self, router: Router) -> None:
        """What another router does with the entries of one that fell silent."""
        done: Counter[str] = Counter()
        router.deliver(router.own_all(self.store.inbox.claim(router.consumer, 10, idle_ms=0), done), done)
