"""The files of this repository, as the architecture tests read them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LUA = ROOT / "dispatcher" / "store" / "lua"
PACKAGES = ("dispatcher", "workers")
TEXT = {".py", ".lua", ".md", ".toml", ".txt", ".sh", ".json", ".yml", ".yaml", ".cfg", ""}
NOT_OURS = {".git", ".venv", ".wake", "build", "dist", "node_modules"}


@cache
def every_file() -> tuple[Path, ...]:
    """All that is ours, pictures too: no environment, no cache, nothing that starts with a dot but .ci and .gitignore."""
    return tuple(sorted(p for p in ROOT.rglob("*") if _is_ours(p.relative_to(ROOT)) and p.is_file()))


@cache
def files() -> tuple[Path, ...]:
    """Every text file that is ours."""
    return tuple(p for p in every_file() if p.suffix in TEXT)


def _is_ours(path: Path) -> bool:
    if any(part in NOT_OURS or part.startswith("__") or "cache" in part for part in path.parts[:-1]):
        return False
    return all(not part.startswith(".") or part in {".ci", ".gitignore"} for part in path.parts)


def python_files(*folders: str) -> list[Path]:
    """Python files below `folders` of the repository's root."""
    return [p for p in files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] in folders]


def steps() -> list[Path]:
    """The Lua steps, without what they include."""
    return sorted(LUA.glob("*.lua"))


def name(path: Path) -> str:
    """How a failure names a file."""
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), filename=str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, `from a import b` as `a` and `a.b`."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
