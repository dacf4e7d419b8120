"""Exit codes of our commands. A runner's program has codes of its own, of which 75 says "busy"."""

from __future__ import annotations

FINE = 0
NO = 1  # the answer is no, or something is wrong with what was asked about
USAGE = 2  # the command line or the configuration; the same again ends the same
UNREACHABLE = 75  # EX_TEMPFAIL: the server is away or full; the same again later may be fine
