"""The pages: what is made from the code is as the code has it, and every link leads somewhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.make_reference import FOLDER, PAGES
from tests.support.sources import ROOT


@pytest.mark.parametrize("page", PAGES)
def test_the_reference_is_that_of_the_code(page: str) -> None:
    assert (FOLDER / page).read_text("utf-8") == PAGES[page](), "say `make docs`"


def test_every_page_is_reached_from_the_first() -> None:
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    pages = [path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")]
    assert not [str(page) for page in pages if f"\n{page}\n" not in index and page.name != "index"]


def build(source: Path, target: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", str(source / "docs"), "-b", "html", str(source), str(target)]
    return subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
def test_the_pages_are_built_and_no_link_is_dead(tmp_path: Path) -> None:
    """In a copy, in which then one link is broken: that must be noticed."""
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "node_modules", "__pycache__"))
    done = build(source, tmp_path / "html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "html" / "docs" / "index.html").exists()
    page = source / "docs" / "faq.md"
    page.write_text(page.read_text("utf-8") + "\n[nowhere](reference/none.md) [no anchor](policy.md#none)\n", "utf-8")
    done = build(source, tmp_path / "html")
    assert done.returncode != 0
    assert "none.md" in done.stderr
    assert "#none" in done.stderr or "'none'" in done.stderr
