"""The systemd units of the examples: what systemd would take, with the programs that lie beside them in the places that they name."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dispatcher.core.exit_codes import UNREACHABLE
from tests.support.sources import ROOT
from tests.support.units import check_form, parsed, verify

UNITS = sorted(path for path in (ROOT / "examples").rglob("*") if path.suffix in (".service", ".timer"))


def placed(path: Path, folder: Path) -> str:
    """The unit as on a machine where its program is installed."""
    for program in re.findall(r"^ExecStart=(\S+)", path.read_text(), re.MULTILINE):
        there = folder / Path(program).name
        there.write_text("#!/bin/sh\n")
        there.chmod(0o755)
    return re.sub(r"^ExecStart=\S*/", f"ExecStart={folder}/", path.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_what_systemd_takes(path: Path, tmp_path: Path) -> None:
    for other in UNITS:
        if other.parent == path.parent:
            (tmp_path / other.name).write_text(placed(other, tmp_path))
    verify(placed(path, tmp_path), tmp_path, user=False, name=path.name)


def test_all_of_them_are_found_and_a_wrong_one_would_be() -> None:
    assert {path.suffix for path in UNITS} == {".service", ".timer"}
    assert len(UNITS) >= 4
    with pytest.raises(AssertionError, match="KillModus"):
        check_form("[Service]\nKillModus=process\n")
    with pytest.raises(KeyError):
        check_form("[Servize]\nKillMode=process\n")


def test_a_timer_starts_a_unit_that_is_there_and_ends_well_without_a_server() -> None:
    for timer in (path for path in UNITS if path.suffix == ".timer"):
        service = parsed(timer.with_suffix(".service").read_text())["Service"]
        assert (service["Type"], service["SuccessExitStatus"]) == ("oneshot", str(UNREACHABLE))


def test_what_they_start_is_an_example_or_our_command() -> None:
    for path in UNITS:
        for line in re.findall(r"^ExecStart=(.*)", path.read_text(), re.MULTILINE):
            program = Path(shlex.split(line)[0]).name
            assert program == "wake" or (path.parent / program).stat().st_mode & 0o111, f"{path.name}: {program}"
