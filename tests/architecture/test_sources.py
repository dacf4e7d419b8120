"""Rules for every source file: size, names, words that must not appear, what a test may not do."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.sources import ROOT, every_file, files, imports, name, python_files, tree

ALL = ("dispatcher", "workers", "tests", "bench")
MAX_LINES = 300
MAX_BYTES = 500_000
STRAYS = {".whl", ".gz", ".zip", ".log", ".rdb", ".aof", ".orig", ".rej", ".bak"}
VAGUE = {"util", "utils", "common", "manager", "helper", "helpers", "misc"}
# Put together, so that this file does not contain what it looks for.
HOSTS = [
    ".".join(parts) for parts in (("pypi", "org"), ("files", "pythonhosted", "org"), ("registry", "npmjs", "org"), ("deb", "debian", "org"))
]
PLACES = [*HOSTS, " ".join(("index-url", "http")), "/".join(("", "work", "")), "/".join(("", "opt", "py"))]
STAND_INS = {*map("".join, [("mo", "ck"), ("fake", "redis"), ("pytest_", "mo", "ck"), ("fla", "ky"), ("pytest_re", "runfailures")])}
UNFINISHED = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]


def each(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name)


@each(python_files(*ALL))
def test_a_file_has_one_job_and_stays_short(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines < MAX_LINES, f"{name(path)} has {lines} lines: split it by job"


def test_no_download_log_or_dump_lies_among_the_sources() -> None:
    """Committed once by mistake, it is in every clone for ever."""
    found = [name(path) for path in every_file() if path.suffix in STRAYS or path.stat().st_size > MAX_BYTES]
    assert not found


@each(python_files(*ALL))
def test_a_module_says_what_it_is(path: Path) -> None:
    assert path.stem not in VAGUE, f"{name(path)}: name it after its job"
    body = tree(path).body
    assert not body or ast.get_docstring(tree(path)), f"{name(path)} has no docstring"


@each(list(files()))
def test_no_file_names_a_machine_or_a_registry_or_leaves_work_behind(path: Path) -> None:
    text = path.read_text("utf-8")
    found = [word for word in PLACES + UNFINISHED if word in text] + re.findall(r"\b[Ii]ssue #?\d+", text)
    assert not found, f"{name(path)} contains {found}"


@each(python_files(*ALL))
def test_every_exception_from_a_tool_has_its_reason_beside_it(path: Path) -> None:
    """`# noqa: S603  the command is the user's` is fine, a bare `# noqa` is not."""
    bare = re.compile(r"#\s*(noqa|type:\s*ignore|pragma)(:\s*[A-Z0-9, ]+|\[[a-z, -]+\])?[\s#]*.{0,9}$")
    lines = [f"{n}: {line.strip()}" for n, line in enumerate(path.read_text("utf-8").splitlines(), 1) if bare.search(line)]
    assert not lines, f"{name(path)}: an exception without a reason:\n" + "\n".join(lines)


@each(python_files("tests"))
def test_a_test_uses_the_real_thing_and_is_never_skipped(path: Path) -> None:
    used = sorted(m for m in imports(path) if STAND_INS & set(m.split(".")))
    assert not used, f"{name(path)} imports {used}"
    marks = sorted(
        {n.attr for n in ast.walk(tree(path)) if isinstance(n, ast.Attribute) and n.attr in {"skip", "skipif", "xfail", "importorskip"}}
    )
    assert not marks, f"{name(path)} uses {marks}: a test that does not run proves nothing"


@each(python_files("tests"))
def test_no_test_sleeps(path: Path) -> None:
    """It polls instead. The linter says so too; this also finds an alias of the module."""
    if path == ROOT / "tests" / "support" / "gates.py":
        return
    calls = [
        n.lineno
        for n in ast.walk(tree(path))
        if isinstance(n, ast.Attribute | ast.Name) and getattr(n, "attr", getattr(n, "id", "")) == "sleep"
    ]
    assert not calls, f"{name(path)} sleeps in lines {calls}: use wait_until"


@each(python_files("dispatcher", "workers"))
def test_no_message_is_held_back_by_celery(path: Path) -> None:
    """A countdown lives in one worker's memory and runs again past the visibility timeout; a later look is a due time."""
    words = {"countdown", "eta", "apply_async_on_commit"}
    found = [
        (kw.arg, node.lineno) for node in ast.walk(tree(path)) if isinstance(node, ast.Call) for kw in node.keywords if kw.arg in words
    ]
    assert not found, f"{name(path)}: {found}"


def test_one_error_tree() -> None:
    """Every exception class of the packages descends from WakeError, so that a caller can catch the project by one name."""
    known = {"WakeError"}
    classes = [node for path in python_files("dispatcher", "workers") for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    for _ in classes:
        known |= {c.name for c in classes if any(_last(base) in known for base in c.bases)}
    strays = [c.name for c in classes if c.name not in known and any(re.search(r"(Error|Exception|Interrupt)$", _last(b)) for b in c.bases)]
    assert not strays


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@each([path for path in python_files("dispatcher", "workers") if path.stem not in ("exit_codes", "heartbeat_example", "command")])
def test_the_exit_code_of_a_server_that_is_away_goes_by_its_name(path: Path) -> None:
    """What a runner's program says with the same number is another thing."""
    assert not [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Constant) and node.value == 75]
