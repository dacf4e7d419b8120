"""What is checked: the right model in several sizes, and the same model with one rule broken, which must be caught."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent


class Configuration(NamedTuple):
    """Sizes and budgets (names.pml) of one exhaustive search. `fair`: liveness under weak fairness instead of safety."""

    name: str
    sizes: str
    shows: str
    fair: bool = False


class Variant(NamedTuple):
    """One rule broken: `switch` is the -D of the model, `where` the configuration that must notice."""

    switch: str
    where: str
    rule: str


CONFIGURATIONS = (
    Configuration("leases", "NO_INBOX NC=2 FAULTS=2 DETOURS=1", "one agent, two workers: every step of a holder, any two faults"),
    Configuration("urgent", "NO_INBOX NC=3 URGENT=4 FAULTS=1 DETOURS=1", "the same with a person's wake among three"),
    Configuration("targets", "NO_INBOX NC=2 NS=2 FAULTS=1 DETOURS=1", "two sessions of one agent: a parked batch blocks its own only"),
    Configuration("inbox", "NC=2 NR=2 NW=1 TRIM FAULTS=1 DETOURS=0", "producer, two routers, trimming of markers"),
    Configuration("entry", "NC=1 NR=2 NW=1 TRIM FAULTS=3 DETOURS=0", "the same with one completion and any three faults"),
    Configuration("agents", "NA=2 NC=2 NR=1 NW=2 FAULTS=1 DETOURS=0", "two agents behind one inbox"),
    Configuration("bindings", "NA=2 NC=1 NR=2 NW=1 BINDS=1 FAULTS=2 DETOURS=0", "a bound key whose binding changes on the way"),
    Configuration("moves", "NH=2 NC=2 NR=1 NW=2 MOVES=1 FAULTS=1 DETOURS=0", "an agent that moves to another pool on the way"),
    Configuration("rollback", "NO_INBOX NC=2 ROLLBACK FAULTS=1 DETOURS=0", "a server that comes back without its last writes"),
    Configuration(
        "settled", "ALL_AT_ONCE NO_INBOX NC=2 NW=2 FAULTS=1 DETOURS=1", "liveness: what is deposited is settled in the end", fair=True
    ),
    Configuration("routed", "ALL_AT_ONCE NC=1 NR=2 NW=1 FAULTS=1 DETOURS=0", "liveness: what is accepted is settled in the end", fair=True),
)
VARIANTS = (
    Variant("BROKEN_DROPS_DUE", "leases", "acquire keeps the due entry"),
    Variant("BROKEN_NO_SWEEP", "leases", "somebody sweeps"),
    Variant("BROKEN_FENCE", "leases", "settle compares the token"),
    Variant("BROKEN_FORGETS", "leases", "settle and 'anything left?' are one step"),
    Variant("BROKEN_ACK_FIRST", "inbox", "an entry leaves the inbox after its deposit"),
    Variant("BROKEN_MARKER_AFTER", "inbox", "the marker is written in the same step as the wake"),
    Variant("BROKEN_TRIM", "entry", "a marker is kept until its inbox entry is certainly gone"),
    Variant("BROKEN_TOLD", "inbox", "routers look without being told"),
    Variant("BROKEN_BELL", "leases", "any acquire clears the doorbell"),
    Variant("BROKEN_DEFER", "urgent", "defer is refused when something more urgent came"),
    Variant("BROKEN_TOKEN", "rollback", "tokens grow with the server's clock"),
    Variant("BROKEN_RECLAIM", "leases", "reclaim compares token, renewal and presence"),
    Variant("BROKEN_JOINS", "leases", "a batch is frozen at its begin"),
    Variant("BROKEN_HOME", "moves", "deposit compares the home that its caller believes in"),
    Variant("BROKEN_HOLD", "entry", "a router that held an entry for too long may not deposit it"),
    Variant("BROKEN_PIN", "bindings", "the owner of a bound key is pinned before the deposit"),
    Variant("BROKEN_PIN_OVERWRITES", "bindings", "the first pin of an entry holds"),
    Variant("BROKEN_OWNER", "agents", "each entry is deposited under its own owner"),
    Variant("BROKEN_TAKES_LIVE", "leases", "acquire respects a live lease"),
    Variant("BROKEN_DISSOLVE", "leases", "a dissolved batch is pending again"),
    Variant("BROKEN_RENEW", "leases", "renew compares the token"),
    Variant("BROKEN_MOVES_LIVE", "moves", "an agent that runs is not moved"),
)


def properties() -> dict[int, str]:
    """The properties by the number that a violation prints, from names.pml."""
    found = re.findall(r"#define P_\w+ (\d+)\s+/\* (.*?) \*/", (FOLDER / "names.pml").read_text("utf-8"))
    return {int(number): words for number, words in found}


def configuration(name: str) -> Configuration:
    return next(c for c in CONFIGURATIONS if c.name == name)
