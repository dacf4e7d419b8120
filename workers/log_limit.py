"""How much is said in a storm: the same line again and again is counted instead. Pure: the caller brings the time."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

KINDS = 1_000
Kind = TypeVar("Kind", bound=Hashable)


@dataclass
class _Window:
    began_s: float
    said: int = 0
    held_back: int = 0


class Limiter(Generic[Kind]):
    """At most `burst` lines of one kind within `window_s` from the first; then none until the window is over.

    Remembers at most `kinds` kinds; the one longest unheard of is forgotten first, and what it held back is then overdue at once.
    """

    def __init__(self, burst: int, window_s: float, kinds: int = KINDS) -> None:
        self._burst, self.window_s, self._kinds = burst, window_s, kinds
        self._windows: OrderedDict[Kind, _Window] = OrderedDict()
        self._forgotten: list[tuple[Kind, int]] = []

    def admits(self, kind: Kind, now_s: float) -> bool:
        """Whether this line may be said; if not, it is counted. Ask `overdue` first, or the count of the last window is lost."""
        window = self._windows.get(kind)
        if window is None or now_s - window.began_s >= self.window_s:
            window = self._windows[kind] = _Window(now_s)
        self._windows.move_to_end(kind)
        while len(self._windows) > self._kinds:
            oldest, gone = self._windows.popitem(last=False)
            if gone.held_back:
                self._forgotten.append((oldest, gone.held_back))
        if window.said < self._burst:
            window.said += 1
            return True
        window.held_back += 1
        return False

    def overdue(self, now_s: float, *, all_of_them: bool = False) -> list[tuple[Kind, int]]:
        """Kinds whose window is over (at the end of the process: all) with how many lines were held back; each is told once."""
        found, self._forgotten = self._forgotten, []
        for kind in [k for k, w in self._windows.items() if all_of_them or now_s - w.began_s >= self.window_s]:
            held_back = self._windows.pop(kind).held_back
            if held_back:
                found.append((kind, held_back))
        return found
