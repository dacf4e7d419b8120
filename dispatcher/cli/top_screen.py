"""The live screen of `wake top`, by Textual (the extra `top`): it keeps a terminal whole over resizes, slow lines and sudden ends.

It draws with bold and reverse only, so it looks the same with and without colours. Everything that asks the server runs in threads of
Textual's; the screen itself never waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Input, Static

from dispatcher.cli.output import plain
from dispatcher.cli.top_acts import TopActs
from dispatcher.cli.top_lines import agent_line, head, pool_line, rest_line, title_line
from dispatcher.core.errors import StoreUnavailable, WakeError
from dispatcher.viewing import SORTS, AgentRow, Asked, Frame, Viewer

T = TypeVar("T")
KEYS = "q quit  / filter  s sort  enter explain  p pause  r resume  w wake  c cancel"
MAX_POOLS = 4
PLAIN = "* { color: ansi_default; background: ansi_default; scrollbar-size: 0 0; }"


class Page(ModalScreen[None]):
    """A text to scroll through."""

    CSS = "Page { background: ansi_default; } #text { height: 1fr; } #keys { height: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "dismiss", "Back")]

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="text"):
            yield Static(Text("\n".join(self._lines)))
        yield Static(Text("escape back  up, down, page up, page down scroll", style="reverse"), id="keys")


class Ask(ModalScreen[str | None]):
    """One line to type; None when it is broken off."""

    CSS = "Ask { align: center bottom; background: ansi_default 0%; } Ask Static, Ask Input { height: 1; border: none; padding: 0; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss", "Back")]

    def __init__(self, question: str, given: str = "") -> None:
        super().__init__()
        self._question, self._given = question, given

    def compose(self) -> ComposeResult:
        yield Static(Text(plain(self._question), style="bold"))
        yield Input(self._given, select_on_focus=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class Agents(Widget, can_focus=True):
    """The agents of a frame, one of them selected, by its name: it stays selected when others come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)"),
        Binding("down,j", "move(1)"),
        Binding("pageup", "move(-10)"),
        Binding("pagedown", "move(10)"),
        Binding("home", "move(-1000)"),
        Binding("end", "move(1000)"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: tuple[AgentRow, ...] = ()
        self._at = self._from = 0

    @property
    def selected(self) -> AgentRow | None:
        return self._rows[self._at] if self._rows else None

    def show(self, rows: tuple[AgentRow, ...]) -> None:
        before, self._rows = self.selected, rows
        names = [row.agent_id for row in rows]
        if before and before.agent_id in names:
            self._at = names.index(before.agent_id)
        self.action_move(0)

    def action_move(self, by: int) -> None:
        self._at = max(0, min(len(self._rows) - 1, self._at + by))
        self.refresh()

    def render(self) -> Text:
        height = max(1, self.size.height)
        self._from = max(min(self._from, self._at), self._at - height + 1)
        shown = enumerate(self._rows[self._from : self._from + height], self._from)
        lines = [Text(agent_line(row).ljust(80), style="reverse" if at == self._at else "") for at, row in shown]
        return Text("\n").join(lines)


class Top(App[None]):
    """Looks every `every_s`; what it shows is at most that old, or it says since when the server is away."""

    CSS = PLAIN + " #head, #said, #keys { height: 1; } #pools { height: auto; } Agents { height: 1fr; }"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c", "quit", "Quit", priority=False),
        Binding("slash", "filter"),
        Binding("s", "sort"),
        Binding("enter,e", "explain"),
        Binding("p", "ask('pause')"),
        Binding("r", "resume"),
        Binding("w", "ask('wake')"),
        Binding("c", "ask('cancel')"),
    ]

    def __init__(self, viewer: Viewer, acts: TopActs, asked: Asked, every_s: float) -> None:
        super().__init__(ansi_color=True)
        self._viewer, self._acts, self._asked, self._every_s = viewer, acts, asked, every_s
        self._looking = self._failing = False
        self._agents = Agents()
        # By name and not by a query, which would look on the page that lies on top.
        self._head, self._pools, self._said = Static(Text("looking …"), id="head"), Static(id="pools"), Static(id="said")

    def compose(self) -> ComposeResult:
        yield self._head
        yield self._pools
        yield self._agents
        yield self._said
        yield Static(Text(KEYS.ljust(80), style="reverse"), id="keys")

    def on_mount(self) -> None:
        self._agents.focus()
        self.set_interval(self._every_s, self.look)
        self.look()

    def look(self) -> None:
        """Begins a look, unless one is still under way."""
        if not self._looking:
            self._looking = True
            self._look(self._asked)

    @work(thread=True, exit_on_error=False)
    def _look(self, asked: Asked) -> None:
        try:
            frame = self._viewer.frame(asked)
            self.call_from_thread(self._show, frame)
        except StoreUnavailable as error:
            self.call_from_thread(self._old, "SERVER AWAY", str(error))
        except Exception as error:  # noqa: BLE001  whatever it is: a screen that stands still and says nothing would be believed
            self.call_from_thread(self._old, "CANNOT LOOK", _words(error))
        finally:
            self._looking = False

    def _show(self, frame: Frame) -> None:
        _line(self._head, head(frame), "bold")
        if self._failing:
            self._failing = False
            _line(self._said, "")
        more = len(frame.pools) - MAX_POOLS
        pools = [*map(pool_line, frame.pools[:MAX_POOLS]), *([f"and {more} more pools; --pool NAME shows one"] if more > 0 else [])]
        about = [*pools, rest_line(frame, len(frame.agents)), title_line()]
        self._pools.update(Text("\n".join(line[:80] for line in about)))
        self._agents.show(frame.agents)

    def _old(self, what: str, error: str) -> None:
        """Why is on a line of its own, or there would be no room for it."""
        _line(self._head, f"{what}, looking again every {self._every_s:g} s; what is below is old", "bold")
        _line(self._said, error)
        self._failing = True

    def action_sort(self) -> None:
        self._look_for(replace(self._asked, sort=SORTS[(SORTS.index(self._asked.sort) + 1) % len(SORTS)]))

    def action_filter(self) -> None:
        def use(part: str | None) -> None:
            if part is not None:
                self._look_for(replace(self._asked, part=part.strip()))

        self.push_screen(Ask("Agents with this in their id, or matching it as a pattern (nothing: all):", self._asked.part), use)

    def _look_for(self, asked: Asked) -> None:
        self._asked = asked
        self.look()

    def action_explain(self) -> None:
        if row := self._agents.selected:
            self._do(lambda: self._acts.explain(row), lambda lines: self.push_screen(Page(lines)))

    def action_resume(self) -> None:
        if row := self._agents.selected:
            self._do(lambda: self._acts.resume(row), self._tell)

    def action_ask(self, what: str) -> None:
        """Pause, wake and cancel take a line of text; escape leaves it undone."""
        row = self._agents.selected
        if row is None:
            return
        question, act = {
            "pause": (f"Pause {row.agent_id}, because:", self._acts.pause),
            "wake": (f"Wake {row.agent_id}, telling it:", self._acts.wake),
            "cancel": (f"Cancel the heartbeat of {row.agent_id} (escape: no), because:", self._acts.cancel),
        }[what]

        def answered(text: str | None) -> None:
            if text is not None:
                self._do(lambda: act(row, text), self._tell)

        self.push_screen(Ask(question), answered)

    def _tell(self, said: str) -> None:
        _line(self._said, said)
        self.look()

    @work(thread=True, exit_on_error=False)
    def _do(self, act: Callable[[], T], then: Callable[[T], object]) -> None:
        try:
            done = act()
            self.call_from_thread(then, done)
        except Exception as error:  # noqa: BLE001  it was asked for by a key: without an answer it would count as done
            self.call_from_thread(self._tell, _words(error))


def _words(error: Exception) -> str:
    """Ours are for people; of any other its kind as well."""
    return str(error) if isinstance(error, WakeError) else f"{type(error).__name__}: {error}"


def _line(where: Static, text: str, style: str = "") -> None:
    where.update(Text(plain(text), style=style, no_wrap=True, overflow="ellipsis"))
