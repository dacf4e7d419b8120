"""When a process reads its configuration again, and what of it takes effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.config import Config, load
from dispatcher.store.opened import open_store
from tests.support.server import Server
from workers.reloading import Reloading


def configured(folder: Path, text: str = "") -> Config:
    (folder / "wake.toml").write_text(text)
    return load(folder / "wake.toml", {})


def test_a_wish_from_before_the_start_is_none_though_the_server_was_away_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    applied: list[Config] = []
    with Server() as server:
        store = open_store(configured(tmp_path), server.url)
        store.reloads.ask()
        server.stop()
        monkeypatch.setattr("workers.reloading.LOOK_S", 0.0)
        reloading = Reloading(store, "router.inbox.test", applied.append)
        reloading.check()
        server.start()
        reloading.check()
        reloading.check()
        assert store.reloads.answers(1) == {}
        store.close()
    assert applied == []
