"""The course of the demo: start, watch until everything is settled or the time is over, read the books, clean up, judge."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console

from dispatcher.cli import demo_scenario
from dispatcher.cli.audit import agreed
from dispatcher.cli.demo_processes import DRAIN_S, HURRIED_S, Burst, Commands, Dispatcher
from dispatcher.cli.demo_standing import CommandRow, Heartbeats, Standing, agent_rows, evidence, ready
from dispatcher.cli.demo_verdict import Evidence, Planned, Verdict, judge
from dispatcher.cli.demo_view import View, progress, show_verdict, view_for
from dispatcher.cli.output import document
from dispatcher.core.errors import StoreUnavailable, WakeError

if TYPE_CHECKING:
    from dispatcher.store.books import Balance
    from dispatcher.store.opened import Store

DEADLINE_S = 300.0  # under a minute on an idle machine; a busy one may take its time, a hopeless run must end
LOOK_S = 0.2
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(*, keep: bool, as_json: bool) -> int:
    """Returns 0 when everything went as promised, 1 when not, 128 + N when signal N ended it."""
    # With --json the document stands alone on standard output; progress goes beside it.
    console = Console(stderr=as_json, highlight=False, markup=False, emoji=False)
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="wake-demo-"))
    ok = False
    stopped: list[int] = []
    before = {number: signal.signal(number, _asked_to_stop(stopped)) for number in SIGNALS}
    try:
        _use_only(demo_scenario.write(folder))
        verdict = Course(folder, console, started, stopped).run()
        seconds, ok = time.monotonic() - started, verdict.ok
        show_verdict(console, verdict, seconds)
        if as_json:
            document(verdict.document() | {"duration_s": round(seconds, 1), "folder": str(folder) if keep or not ok else None})
    except KeyboardInterrupt:
        console.print("stopped before the end: nothing is proved")
    finally:
        _leave(folder, console, keep=keep or not (ok or stopped))
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 + stopped[0] if stopped else 0 if ok else 1


def _asked_to_stop(stopped: list[int]) -> Callable[[int, FrameType | None], None]:
    def note(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        if len(stopped) == 1:  # a later one meets the cleaning up, which has bounds of its own
            raise KeyboardInterrupt

    return note


def _use_only(config: Path) -> None:
    """This process and its children know this configuration alone: a variable of the user's could lead to a real server or broker."""
    from dispatcher.app import use_config

    for name in [name for name in os.environ if name.startswith(("WAKE_", "CELERY_"))]:
        del os.environ[name]
    use_config(str(config))


def _leave(folder: Path, console: Console, *, keep: bool) -> None:
    if keep:
        console.print(f"configuration, logs and what the heartbeats received: {folder}", soft_wrap=True)
    else:
        rmtree(folder, ignore_errors=True)


class Course:
    """One run of the demo in its folder. `stopped` holds the signals that came."""

    def __init__(self, folder: Path, console: Console, started: float, stopped: Sequence[int]) -> None:
        self._folder, self._console, self._started, self._stopped = folder, console, started, stopped
        self._heartbeats = Heartbeats(folder)
        self._commands = Commands(folder)
        self._burst = Burst()
        self._store: Store | None = None
        self._books: Balance | None = None
        self._ready = False

    def run(self) -> Verdict:
        """The verdict, when nothing of ours runs any more."""
        drained: list[bool] = []
        with ExitStack() as stack:
            view = view_for(self._console)
            stack.callback(view.close)
            dispatcher = Dispatcher(self._folder)
            stack.callback(lambda: drained.append(dispatcher.stop(self._patience_s())))
            stack.callback(self._commands.stop)
            stack.callback(self._burst.stop)
            stack.callback(lambda: view.show(self._standing("stopping", asking=False)))
            found = self._evidence(self._watch(dispatcher, view))
        if not all(drained):
            found = replace(found, trouble=[*found.trouble, f"`wake up` did not drain in time; see {dispatcher.log}"])
        return judge(found, [agent.agent_id for agent in demo_scenario.AGENTS])

    def _watch(self, dispatcher: Dispatcher, view: View) -> list[str]:
        """Until everything is settled. What prevented it, nothing if it is."""
        while True:
            if why := dispatcher.ended():
                return [f"{why}; {dispatcher.last_words()}"]
            try:
                stage = self._step()
                standing = self._standing(stage)
            except StoreUnavailable as error:  # still starting, or starting again
                stage = "starting the server" if self._store is None else f"the server is away: {error}"
                standing = self._standing(stage, asking=False)
            view.show(standing)
            if self._done(standing):
                return []
            if self._late():
                return [f"not finished within {DEADLINE_S:.0f} s: {progress(standing)}; {dispatcher.last_words()}"]
            time.sleep(LOOK_S)

    def _step(self) -> str:
        """Does what can be done now, and names the stage. Raises StoreUnavailable."""
        from dispatcher.app import current_config, current_store

        if self._store is None:
            self._store = current_store()
        self._ready = self._ready or ready(self._store, current_config().pool_names())
        # The first commands end before any router is there: what they report waits in the inbox.
        self._commands.step()
        if not self._ready:
            return "starting router and workers"
        self._burst.start()
        if self._commands.done() and self._burst.done():
            return "waiting for the last heartbeats"
        return "commands run" if self._burst.done() else "commands run, and a burst"

    def _standing(self, stage: str, asking: bool = True) -> Standing:
        store = self._store if asking else None
        self._heartbeats.look()
        if store is not None:
            self._books = store.ledger.balance()
        books = self._books
        return Standing(
            seconds=time.monotonic() - self._started,
            stage=stage,
            commands_done=sum(running.ended is not None for running in self._commands.started),
            commands=self._command_rows(),
            planned=len(self._planned()),
            accepted=books.accepted if books else 0,
            routed=books.accepted - books.unrouted if books else 0,
            final=books.settled + books.suppressed + books.dead + books.dropped if books else 0,
            agents=agent_rows(store, self._heartbeats),
        )

    def _command_rows(self) -> list[CommandRow]:
        now = time.monotonic()
        return [
            CommandRow(
                running.command.title,
                running.command.session_key,
                " ".join(running.command.words[-1:] if running.command.words[0] == "sh" else running.command.words),
                (running.ended or now) - running.started,
                running.how,
            )
            for running in self._commands.started
        ]

    def _planned(self) -> list[Planned]:
        return [running.planned for running in self._commands.started if running.planned] + list(self._burst.planned)

    def _done(self, standing: Standing) -> bool:
        return self._commands.done() and self._burst.done() and standing.planned <= standing.accepted == standing.final

    def _evidence(self, trouble: list[str]) -> Evidence:
        """What the verdict rests on; without a server, only what is on disk."""
        trouble += [self._burst.failure] if self._burst.failure else []
        trouble += [
            f"the command `{r.command.title}` was not reported ({r.how or 'it did not end'})"
            for r in self._commands.started
            if not r.planned
        ]
        try:
            if self._store is not None:
                return evidence(self._store, agreed(self._store.ledger.balance), self._planned(), self._heartbeats, trouble)
        except WakeError as error:
            trouble.append(str(error))
        return Evidence(self._planned(), self._heartbeats.heard, {}, {}, {}, self._heartbeats.overlaps(), trouble)

    def _late(self) -> bool:
        return time.monotonic() - self._started > DEADLINE_S

    def _patience_s(self) -> float:
        return HURRIED_S if self._stopped or self._late() else DRAIN_S
