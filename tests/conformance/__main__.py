"""`python -m tests.conformance FILE…`: one line per failing vector, then the score. Exit 1 on a failure; no file = the project's own."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.conformance.runner import Runner
from tests.conformance.vector import OWN_FILES


def main(arguments: list[str]) -> int:
    """Run the files and print the score."""
    with Runner() as runner:
        for path in [Path(argument) for argument in arguments] or OWN_FILES:
            before = len(runner.score.lines)
            runner.run_file(path)
            for line in runner.score.lines[before:]:
                print(line, flush=True)
    print(runner.score)
    return 1 if runner.score.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
