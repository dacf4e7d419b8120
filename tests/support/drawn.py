"""What a program has drawn on its terminal: the characters that stand there now, not the bytes that put them there."""

from __future__ import annotations

import os
import select
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import pyte
from rich.text import Text

from tests.support.gates import wait_until
from tests.support.terminal import Screen

PATIENCE_S = 120.0


class Drawn(Screen):
    """A terminal that is looked at as a person would. `raw`: everything that was ever written to it."""

    def __init__(self, folder: Path, line: Sequence[str], env: Mapping[str, str], rows: int = 24, columns: int = 80) -> None:
        self.raw = b""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        super().__init__(folder, line, env, rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        """Another size of the window; the kernel tells the program by SIGWINCH. What stood there is gone: whoever draws must do it anew."""
        self._screen.resize(rows, columns)
        self._screen.reset()
        super().resize(rows, columns)

    @property
    def lines(self) -> list[str]:
        self._read_all()
        return [line.rstrip() for line in self._screen.display]

    def drawn(self) -> list[Text]:
        """The lines with what stands there bold or reversed."""
        self._read_all()
        rows = ([self._screen.buffer[y][x] for x in range(self._screen.columns)] for y in range(self._screen.lines))
        return [Text.assemble(*(("".join(c.data for c in run), style) for style, run in groupby(row, _style))) for row in rows]

    def shows(self, *texts: str) -> list[str]:
        """Waits until all of these stand there at once; the lines then."""
        seen: list[str] = []

        def there() -> bool:
            seen[:] = self.lines
            return all(any(text in line for line in seen) for text in texts)

        try:
            wait_until(there, PATIENCE_S, f"{texts} are shown")
        except AssertionError as error:
            raise AssertionError("\n".join([str(error), *seen])) from None
        return list(seen)

    def hides(self, text: str) -> None:
        """Waits until this stands nowhere."""
        wait_until(lambda: not any(text in line for line in self.lines), PATIENCE_S, f"{text} is gone")

    def _read_all(self) -> None:
        while self.fd >= 0 and select.select([self.fd], [], [], 0)[0]:
            try:
                chunk = os.read(self.fd, 65_536)
            except OSError:
                return
            if not chunk:
                return
            self.raw += chunk
            self._stream.feed(chunk)


def _style(char: pyte.screens.Char) -> str:
    return " ".join(word for word, there in (("bold", char.bold), ("reverse", char.reverse)) if there)
