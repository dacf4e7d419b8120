"""Every interleaving of the protocol's model holds, every broken rule is caught, and the page beside the model names every Lua file."""

from __future__ import annotations

import re

import pytest

from tests.model.cases import CONFIGURATIONS, FOLDER, VARIANTS, Configuration, Variant, configuration
from tests.model.check import as_json, report
from tests.model.spin import Found, search
from tests.support.sources import LUA, ROOT

PAGE = ROOT / "docs" / "model.md"
SEARCH_S = 1_800  # an idle core needs seconds


@pytest.mark.slow
@pytest.mark.timeout(SEARCH_S)
@pytest.mark.parametrize("case", CONFIGURATIONS, ids=lambda case: case.name)
def test_every_interleaving_holds(case: Configuration) -> None:
    found = search(case)
    assert found.violation is None, f"{case.name}: {found.violation}"


@pytest.mark.slow
@pytest.mark.timeout(SEARCH_S)
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.switch)
def test_a_broken_rule_is_caught(variant: Variant) -> None:
    found = search(configuration(variant.where), variant.switch)
    assert found.violation is not None, f"nothing notices that this rule is broken: {variant.rule}"


def test_each_switch_of_the_model_is_a_variant_and_back() -> None:
    used = set(re.findall(r"BROKEN_\w+", "\n".join(p.read_text("utf-8") for p in FOLDER.glob("*.pml"))))
    assert used == {variant.switch for variant in VARIANTS}


def test_the_page_places_every_lua_file_once() -> None:
    """Either it stands in the table of what is modelled, or in that of what is left out, with a reason."""
    modelled, left_out = PAGE.read_text("utf-8").split("## Left out", 1)
    rows = re.compile(r"^\| ((?:`[\w/]+\.lua`(?:, )?)+) \| (.+) \|$", re.MULTILINE)
    placed: list[str] = []
    for part in (modelled, left_out):
        for names, words in rows.findall(part):
            assert len(words) > 20, f"{names}: say how, or why not"
            placed += re.findall(r"`([\w/]+\.lua)`", names)
    assert sorted(placed) == sorted(str(path.relative_to(LUA)) for path in LUA.rglob("*.lua"))


def test_each_step_of_the_page_is_in_the_model() -> None:
    """The inline or process that a row of the table names exists."""
    model = "\n".join(p.read_text("utf-8") for p in FOLDER.glob("*.pml"))
    named = re.findall(r"(?<!\*)\*(\w+)\*(?!\*)", PAGE.read_text("utf-8").split("## Left out", 1)[0])
    assert len(named) > 10
    assert not [word for word in named if not re.search(rf"\b(inline|proctype) {word}\b", model)]


def test_the_report_says_what_was_not_caught() -> None:
    held, missed = Found(None, 10, 5, 0.1), Found(None, 3, 2, 0.1)
    cases = [(CONFIGURATIONS[0], held)], [(VARIANTS[0], missed)]
    assert "0 of 1 caught" in report(*cases)
    assert "**nothing**" in report(*cases)
    assert as_json(*cases)["variants"][0]["violation"] is None
