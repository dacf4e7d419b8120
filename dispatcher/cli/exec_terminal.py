"""Terminals of our own making, for a command whose output goes to one: it must not be able to tell the difference.

Imported only where there is a terminal.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6  # places in what termios.tcgetattr returns


def open_like(terminal: int) -> tuple[int, int]:
    """(our side, the command's side) of a new terminal as large as that one. Raises OSError when there are none left.

    What is written comes out as it is: the terminal that it goes to does the rest.
    """
    ours, theirs = os.openpty()
    modes = termios.tcgetattr(terminal)
    modes[_OFLAG] &= ~termios.OPOST
    modes[_LFLAG] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, modes)
    copy_size(terminal, ours)
    return ours, theirs


def copy_size(source: int, target: int) -> bool:
    """Whether the size was another one. The kernel tells those in the foreground of the target."""
    empty = struct.pack("HHHH", 0, 0, 0, 0)
    try:
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, empty)
        if fcntl.ioctl(target, termios.TIOCGWINSZ, empty) == size:
            return False
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)
    except OSError:  # it hung up
        return False
    return True


class RawTerminal:
    """Our own terminal, which passes on every key while the command has one of its own: that one does echo, lines and Ctrl-C."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._found = termios.tcgetattr(terminal)

    def lend_modes(self, terminal: int) -> None:
        """Echo, lines, Ctrl-C: from now on that one does it."""
        termios.tcsetattr(terminal, termios.TCSANOW, self._found)

    def enter(self) -> bool:
        """False when we are not in the foreground: then the terminal is somebody else's."""
        try:
            if os.tcgetpgrp(self._terminal) != os.getpgrp():
                return False
            termios.tcsetattr(self._terminal, termios.TCSADRAIN, _raw(self._found))
        except (OSError, termios.error):
            return False
        return True

    def restore(self) -> None:
        try:
            if os.tcgetpgrp(self._terminal) == os.getpgrp():
                termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._found)
        except (OSError, termios.error):  # it hung up
            return


def become_controlling(terminal: int) -> None:
    """Makes it the terminal of this process, which must lead a session without one."""
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)


def _raw(found: list[int | list[bytes | int]]) -> list[int | list[bytes | int]]:
    """As cfmakeraw does; tty.setraw leaves other bits in other versions of Python."""
    modes = [list(part) if isinstance(part, list) else part for part in found]
    off = {
        _IFLAG: termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON,
        _OFLAG: termios.OPOST,
        _CFLAG: termios.CSIZE | termios.PARENB,
        _LFLAG: termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN,
    }
    for place, bits in off.items():
        part = modes[place]
        assert isinstance(part, int)
        modes[place] = part & ~bits | (termios.CS8 if place == _CFLAG else 0)
    characters = modes[_CC]
    assert isinstance(characters, list)
    characters[termios.VMIN], characters[termios.VTIME] = 1, 0
    return modes
