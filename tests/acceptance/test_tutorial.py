"""docs/tutorial.md, typed as written in an empty folder."""

from __future__ import annotations

import re

import pytest

from tests.support.gates import wait_until
from tests.support.sources import ROOT
from tests.support.typed_folder import PATIENCE_S, Folder

TEXT = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
TYPED = [line.removeprefix("$ ") for block in re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_as_typed(folder: Folder) -> None:
    init, up, command, log, burst, explain, trace, lost, dead, bind, revive, audit = TYPED
    assert folder.run(init).returncode == 0
    folder.start(up)
    wait_until(lambda: folder.run("wake status --json").returncode == 0, PATIENCE_S, "it is ready", every_s=0.2)
    ended = folder.run(command)
    assert (ended.returncode, ended.stdout) == (3, "tests failed\n")
    wait_until(lambda: "tests failed" in folder.run(log).stdout, PATIENCE_S, "main was woken", every_s=0.2)
    assert folder.run(burst).returncode == 0
    assert folder.run(explain).stdout.startswith("main: ")
    wait_until(lambda: "outcome=ran" in folder.run(trace).stdout, PATIENCE_S, "the burst was one turn", every_s=0.5)
    traced = folder.run("wake trace burst-5 --json").stdout
    assert '"n": 5' in traced or '"n":5' in traced
    assert folder.run(lost).returncode == 0
    wait_until(lambda: "lost-1" in folder.run(dead).stdout, PATIENCE_S, "it is a dead letter", every_s=0.2)
    assert "unbound-key" in folder.run(dead).stdout
    assert folder.run(bind).returncode == 0
    assert folder.run(revive).returncode == 0
    wait_until(lambda: folder.run(audit).returncode == 0, PATIENCE_S, "everything is accounted for", every_s=0.2)
    assert "lost-1" not in folder.run(dead).stdout
