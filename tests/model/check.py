"""`python -m tests.model.check`: every configuration holds, every broken rule is caught. Writes bench/results/model.md and model.json.

Exit code 1 if the right model shows a violation or a broken one shows none; 2 if spin or a C compiler is missing.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.model.cases import CONFIGURATIONS, VARIANTS, Configuration, Variant, configuration
from tests.model.spin import Found, ToolMissing, search
from tests.support.sources import ROOT

RESULTS = ROOT / "bench" / "results"
PARALLEL = 2


def report(held: list[tuple[Configuration, Found]], caught: list[tuple[Variant, Found]]) -> str:
    """The result as Markdown."""
    lines = [
        "# Checked by `python -m tests.model.check`",
        "",
        "`docs/model.md` says what the model is. Every search below is exhaustive.",
        "",
    ]
    lines += ["| configuration | what | sizes | result | states | depth | s |", "|---|---|---|---|---|---|---|"]
    for case, found in held:
        verdict = "holds" if found.violation is None else f"**violated**: {found.violation}"
        lines.append(f"| {case.name} | {case.shows} | `{case.sizes}` | {verdict} | {found.states} | {found.depth} | {found.seconds} |")
    lines += ["", f"Broken on purpose: {sum(f.violation is not None for _, f in caught)} of {len(caught)} caught.", ""]
    lines += ["| rule that is broken | switch | configuration | caught by | depth | s |", "|---|---|---|---|---|---|"]
    for variant, found in caught:
        by = found.violation or "**nothing**"
        lines.append(f"| {variant.rule} | `{variant.switch}` | {variant.where} | {by} | {found.depth} | {found.seconds} |")
    return "\n".join(lines) + "\n"


def as_json(held: list[tuple[Configuration, Found]], caught: list[tuple[Variant, Found]]) -> dict[str, Any]:
    return {
        "configurations": [case._asdict() | found._asdict() for case, found in held],
        "variants": [variant._asdict() | found._asdict() for variant, found in caught],
    }


def told(case: Configuration, switch: str = "") -> Found:
    """As `search`, with a line about it: all of them take minutes."""
    found = search(case, switch)
    print(f"{case.name} {switch} {found.states} states, {found.seconds} s: {found.violation or 'holds'}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    try:
        with ThreadPoolExecutor(PARALLEL) as pool:
            holding = [pool.submit(told, case) for case in CONFIGURATIONS]
            breaking = [pool.submit(told, configuration(v.where), v.switch) for v in VARIANTS]
            held = [(case, future.result()) for case, future in zip(CONFIGURATIONS, holding, strict=True)]
            caught = [(variant, future.result()) for variant, future in zip(VARIANTS, breaking, strict=True)]
    except ToolMissing as error:
        print(error, file=sys.stderr)
        return 2
    text = report(held, caught)
    (RESULTS / "model.md").write_text(text, "utf-8")
    (RESULTS / "model.json").write_text(json.dumps(as_json(held, caught), indent=1) + "\n", "utf-8")
    print(text)
    return int(any(found.violation for _, found in held) or any(found.violation is None for _, found in caught))


if __name__ == "__main__":
    sys.exit(main())
