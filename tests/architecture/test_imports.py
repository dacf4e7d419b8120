"""What importing costs. The layers themselves are checked by import-linter, in `make lint`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.sources import ROOT, python_files

HEAVY = {"celery", "kombu", "redis", "pydantic", "pydantic_settings", "typer", "rich"}


def loaded_by(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter has loaded after `code`."""
    script = f"{code}\nimport sys, json; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout)) & HEAVY


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import dispatcher; dispatcher.InboxFull; dispatcher.__version__") == set()


def test_the_command_line_starts_before_anything_heavy_is_loaded() -> None:
    """`wake exec` starts the user's command first; so neither its entry nor its module may load a client."""
    assert loaded_by("import dispatcher.cli, dispatcher.cli.exec_command") == set()


def core_modules() -> list[str]:
    return [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in python_files("dispatcher") if p.parent.name == "core"]


@pytest.mark.parametrize("module", core_modules())
def test_a_core_module_loads_no_client(module: str) -> None:
    assert loaded_by(f"import {module}") <= {"pydantic"}


def test_the_task_is_loaded_when_it_is_first_asked_for() -> None:
    assert "celery" in loaded_by("from dispatcher import exec_completed")


def test_an_unknown_name_is_an_attribute_error() -> None:
    import dispatcher

    with pytest.raises(AttributeError, match="no attribute 'exec_complete'"):
        _ = dispatcher.exec_complete
