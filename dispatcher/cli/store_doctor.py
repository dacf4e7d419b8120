"""`wake doctor` on the store: finding and mending what somebody, or a fault, broke in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from dispatcher.cli.audit import agreed
from dispatcher.cli.output import document, say, table
from dispatcher.cli.reach import reach

if TYPE_CHECKING:
    from dispatcher.store.doctoring import Finding


def examine(config: str | None, *, fix: bool, as_json: bool) -> None:
    """`wake doctor` without another subject: prints what was found, and exits with 1 when something is wrong still."""
    from dispatcher.store.doctoring import Doctor

    found = list(Doctor(reach(config, writes=fix).store, fix).findings(agreed))
    if as_json:
        document({"findings": [asdict(finding) for finding in found]})
    else:
        show(found)
    if not all(finding.mended for finding in found):
        raise typer.Exit(1)


def show(found: Sequence[Finding]) -> None:
    """The table of findings, and how many are left."""
    if found:
        table(("where", "what is wrong", "mended"), [(f.where, f.what, "yes" if f.mended else "no") for f in found])
    left = sum(not finding.mended for finding in found)
    say(f"{len(found)} found, {left} left" if found else "nothing is wrong")
