"""Why an agent runs or not now, why a completion is where it is: each cause with the words that a person reads. The only table of them.

`docs/explain.md` shows it as it stands here; a test compares them.
"""

from __future__ import annotations

from typing import NamedTuple

from dispatcher.core.words import DeadReason


class Words(NamedTuple):
    """What a person reads: the cause, what follows by itself, and what would change it. Names in braces are filled in."""

    says: str
    follows: str
    change: str


WAKE_NOW = "a manual or immediate wake does not wait for it"

AGENT_CAUSES = {
    "running": Words(
        "a heartbeat has been running for {age}: batch {batch}, attempt {attempt}, completions: {n}, on {holder}",
        "when it ends, what came meanwhile becomes the next one",
        "nothing needs to; it ends by itself, or at time_limit_s",
    ),
    "lease-live": Words(
        "{holder} holds the agent and decides what to do",
        "it begins a heartbeat or says until when it waits, at the latest in {left}",
        "nothing needs to",
    ),
    "lease-dead": Words(
        "{holder} held the agent and is gone; batch: {batch}",
        "another worker of pool {pool} takes over at once, at the latest in {left}, as the next attempt of the same batch",
        "nothing needs to, while a worker of pool {pool} lives",
    ),
    "no-worker": Words(
        "no worker serves pool {pool}", "everything waits, nothing is lost", "start one: `wake worker --pool {pool}`, or `wake up`"
    ),
    "no-router": Words(
        "completions in the inbox: {inbox}, and no router runs that would find their owners",
        "they stay in the inbox, nothing is lost",
        "start one: `wake worker --route`, or `wake up`",
    ),
    "not-routed": Words(
        "completions in the inbox: {inbox}, not routed yet; some may be for this agent",
        "a router finds their owners, as a rule within half a second",
        "more routers, if they stay there: `wake worker --route`",
    ),
    "paused": Words(
        "paused by {by} with {selector} {age} ago: {reason}",
        "everything waits, manual wakes too, until {end}; then one heartbeat has all of it",
        "`wake resume {selector}`",
    ),
    "draining": Words(
        "drained by {by} with {selector} {age} ago: {reason}",
        "what waits and what comes becomes dead letters `drained`, until {end}; a heartbeat that runs may finish",
        "`wake resume {selector}`, then `wake dead revive` for what is wanted after all",
    ),
    "agent-disabled": Words(
        "the configuration disables it",
        "what waits is kept for 7 days, then it becomes dead letters; what comes becomes dead letters at once",
        "enabled = true for it in wake.toml",
    ),
    "unknown-agent": Words(
        "the configuration does not know it",
        "what waits is kept for 7 days, then it becomes dead letters; what comes becomes dead letters at once",
        "a table [agents.{agent}] in wake.toml",
    ),
    "quiet-hours": Words(
        "outside its active hours, {hours}", "one heartbeat with everything that waits, in {left}", f"active_hours; {WAKE_NOW}"
    ),
    "min-spacing": Words(
        "less than {spacing} since the start of its last heartbeat",
        "one heartbeat with everything that waits, in {left}",
        f"a smaller min_spacing_ms; {WAKE_NOW}",
    ),
    "flood": Words(
        "heartbeats started within {window}: {starts} or more, the flood guard is closed",
        "it opens in {left}",
        "flood_starts or flood_window_ms; a manual wake does not wait for it",
    ),
    "budget": Words(
        "its budget is spent: {budget}",
        "the next heartbeat in {left}",
        "budget_per_hour or budget_per_day; a manual wake does not wait for it",
    ),
    "cap": Words(
        "as many heartbeats run as there may: {caps}",
        "it asks again in {left}; the most urgent, then the oldest has the next place",
        "max_running in [caps] or of the pool, or the end of a heartbeat",
    ),
    "release": Words(
        "it is late, as after an outage, and late heartbeats start at {rate} a second in a pool",
        "it asks again in {left}; the most urgent, then the oldest goes first",
        "release_per_s in [caps]",
    ),
    "lineage": Words(
        "its heartbeats wake one another: this chain is {depth} deep, {max_depth} are free; caused per heartbeat: {caused}",
        "the chain goes on in {left}; the pause doubles with each step, up to an hour",
        "a heartbeat that does not report to its own agent, or max_lineage_depth; what comes from elsewhere is not held back",
    ),
    "busy": Words("its session {session} is busy: {why}", "it is tried again in {left}", "the end of what keeps it busy"),
    "retry": Words(
        "the last attempt of batch {batch} failed, failures: {failures} of {max_failures}: {error}",
        "the same batch again in {left}",
        "a manual or immediate wake for its session runs it at once",
    ),
    "dead-letters-full": Words(
        "it is to become dead letters, and there is no room for more",
        "it is tried again in {left}",
        "`wake dead list`, then `wake dead revive` or `wake dead drop`",
    ),
    "window": Words(
        "it waits for company: what comes close together makes one heartbeat",
        "one heartbeat with everything that waits, in {left}",
        f"window_ms or quiet_ms; {WAKE_NOW}",
    ),
    "rider": Words(
        "only completions of subagents wait, which do not wake",
        "they ride with the next heartbeat of their session, or go alone in {left}",
        "wake_subagents = true",
    ),
    "due": Words(
        "it is due, nothing holds it back",
        "the next free worker of pool {pool} runs it",
        "more workers or concurrency, if it stays so: `wake status`",
    ),
    "setting-aside": Words(
        "a batch or a session of it is to become dead letters: {why}",
        "the next free worker of pool {pool} sets it aside",
        "`wake dead list` shows it then",
    ),
    "dead-lettered": Words(
        "nothing waits, and some of its completions are dead letters: {dead}",
        "they stay until somebody revives or drops them; next tick: {tick}",
        "`wake dead list`, `wake dead revive`",
    ),
    "nothing-waiting": Words("nothing waits", "it sleeps until something comes; next tick: {tick}", "a completion of one of its sessions"),
    "server-down": Words(
        "the server does not answer, so nobody can say",
        "running heartbeats go on while their lease is trusted; everything else waits",
        "start the server (`wake up`), or check [redis] url",
    ),
}

COMPLETION_CAUSES = {
    "accepted": Words("accepted {age} ago, in the inbox", "a router finds its owner", "a router, if none runs: `wake worker --route`"),
    "pending": Words("with agent {agent} for {age}", "it is in the next heartbeat of its session", "what holds the agent back"),
    "in-heartbeat": Words("in a heartbeat of {agent} for {age}: batch {batch}", "when that ends well, it is settled", "nothing needs to"),
    "settled": Words("settled {age} ago by a heartbeat of {agent}: {outcome}, batch {batch}", "that was all", "nothing"),
    "suppressed": Words("recorded {age} ago, and woke nobody: {why}", "that was all", 'notify = "always" for agent {agent}'),
    "dead-letter": Words("a dead letter: {why}", "it stays until it is revived or dropped", "{remedy}"),
    "dropped": Words("dropped: {why}", "that was all", "nothing"),
    "forgotten": Words("it ended, longer ago than its trace is kept", "that was all", "ledger_ms and ledger_completions in [bounds]"),
}


class Remedy(NamedTuple):
    """Of a dead letter: what happened, and what to do about it."""

    says: str
    change: str


AGAIN = "report it again, {how}; then `wake dead drop`"
REVIVE = "{what}; then `wake dead revive`"


def _again(says: str, how: str) -> Remedy:
    return Remedy(says, AGAIN.format(how=how))


def _revive(says: str, what: str) -> Remedy:
    return Remedy(says, REVIVE.format(what=what))


DEAD_REASONS = {
    DeadReason.MISSING_KEY: _again("it names neither a session key nor an agent", "with one of them"),
    DeadReason.MALFORMED_KEY: _again("its session key is none", "with another key"),
    DeadReason.UNBOUND_KEY: _revive("its session key belongs to nobody", "`wake bind` the key to an agent"),
    DeadReason.UNKNOWN_AGENT: _revive("the configuration does not know its agent", "a table [agents.ID] in wake.toml"),
    DeadReason.AGENT_DISABLED: _revive("its agent is disabled", "enabled = true for the agent"),
    DeadReason.OWNER_MISMATCH: _again("its session key belongs to another agent than the one it names", "with one of both"),
    DeadReason.FORBIDDEN: _again("no token covers its agent", "with a token for that agent"),
    DeadReason.TOO_LARGE: _again("it is larger than a completion may be", "with less output"),
    DeadReason.INVALID_COMPLETION: _again("nobody can read it", "by a producer that is mended"),
    DeadReason.MAILBOX_FULL: _revive("the mailbox of its agent was full", "let it work off what waits, or raise max_mailbox in [bounds]"),
    DeadReason.ROUTER_CRASH: _revive("routers that took it died of it, again and again", "look for its id in the routers' logs"),
    DeadReason.WORKER_LOST: _revive("workers that ran its batch died, again and again", "look for the batch in the workers' logs"),
    DeadReason.ATTEMPTS_EXHAUSTED: _revive("its batch failed as often as it may", "mend what the runner says"),
    DeadReason.REFUSED: _revive("the runner will never take its batch", "mend what the runner says"),
    DeadReason.BUDGET: _revive("the budget of its agent was spent, and over_budget says so", "a larger budget, or a new day"),
    DeadReason.DRAINED: _revive("its agent was drained", "`wake resume` the agent"),
    DeadReason.CANCELLED: _revive("somebody cancelled its heartbeat", "`wake dead show` for who did and why"),
}
