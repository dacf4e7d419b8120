"""No mutant is stale. `make mutants` runs them."""

from __future__ import annotations

import pytest

from tests.mutants.cases import MUTANTS, Mutant
from tests.mutants.check import Judged, StaleMutant, mutated, report
from tests.support.sources import ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.breaks)
def test_a_mutant_changes_one_place_and_names_tests_that_exist(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text("utf-8")
    assert mutated(mutant, text) != text
    assert [test for test in mutant.tests.split() if not (ROOT / test).is_file()] == []


def test_a_stale_mutant_is_an_error() -> None:
    with pytest.raises(StaleMutant, match="occurs 2 times"):
        mutated(MUTANTS[0], MUTANTS[0].old * 2)


def test_the_report_says_what_survived() -> None:
    text = report([(MUTANTS[0], Judged(None, 1.0)), (MUTANTS[1], Judged("tests/a/test_b.py::test_c", 1.0))])
    assert "1 of 2 caught" in text
    assert "**nothing**" in text
