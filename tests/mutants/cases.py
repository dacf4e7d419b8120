"""The mutants: a file, a text that occurs there once, what stands there instead, what that breaks, and the tests that should notice."""

from __future__ import annotations

from typing import NamedTuple

LUA = "dispatcher/store/lua"
CORE = "dispatcher/core"
STEPS = "tests/integration/lua"
PURE = "tests/unit/core/test_policy.py tests/unit/core/test_decide.py tests/unit/core/test_guards.py"


class Mutant(NamedTuple):
    """`tests`: files that should notice, separated by spaces."""

    file: str
    old: str
    new: str
    breaks: str
    tests: str


def step(name: str, old: str, new: str, breaks: str, tests: str = "") -> Mutant:
    """A mutant of a Lua step; by default the tests of that step should notice."""
    return Mutant(f"{LUA}/{name}.lua", old, new, breaks, " ".join(f"{STEPS}/test_{t}.py" for t in (tests or name).split()))


def rule(module: str, old: str, new: str, breaks: str) -> Mutant:
    """A mutant of the pure core."""
    return Mutant(f"{CORE}/{module}.py", old, new, breaks, PURE)


MUTANTS = (
    step("submit", "tonumber(before) + tonumber(A.dedupe_ms) > at", "false", "the same id is accepted twice"),
    step("acknowledge", "redis.call('XDEL', K.stream, entry) == 1", "true", "an acknowledged entry stays in the inbox"),
    step("deposit", "if tonumber(A.revival) <= tonumber(revival) then", "if false then", "the deposit marker is ignored"),
    step("deposit", "(held_ms < 0 or held_ms > tonumber(A.max_hold_ms))", "held_ms < 0", "a router may hold an entry for ever"),
    step("deposit", "redis.call('ZADD', K.parked, 'XX', 'LT', now, parked)", "", "a person waits behind a retry"),
    step("acquire", "redis.call('HDEL', K.bell, A.agent)", "", "an acquire does not clear the doorbell"),
    step("acquire", "if not again and held_until(K, lease, now) > now then", "if false then", "a live lease is taken"),
    step("acquire", "math.max(tonumber(lease.token) + 1, us)", "us", "tokens repeat when the clock stands still"),
    step("include/batch", "meta.bypass = true", "", "a take-over obeys the cooldown again", "acquire"),
    step("begin", "if parked ~= '' then return { 'TARGET_PARKED', parked } end", "", "a parked batch does not block its target"),
    step("begin", "many('ZREM', K.mailbox, taken[intent])", "", "a frozen wake waits as well"),
    step("begin", "note_start(K, A.batch, now)", "", "a start leaves no mark on the cooldown"),
    step(
        "defer",
        "if tonumber(redis.call('HGET', K.state, 'urgent') or 0) > tonumber(A.seen) then return { 'CHANGED' } end",
        "",
        "a deferral overwrites a newer urgent wake",
    ),
    step("settle", "if not lease then return { 'STALE_TOKEN', current.token } end", "lease = lease or current", "a late holder settles"),
    step("settle", "if lease.batch ~= A.batch then return { 'NO_BATCH' } end", "", "another batch than the running one is settled"),
    step("settle", "derive(K, A.agent, now, lease), lease, true)", "nil, lease, true)", "what came meanwhile is forgotten"),
    step("park", "meta.failures = meta.failures + 1", "", "failures are not counted"),
    step("park", "meta.deliveries = meta.deliveries - 1", "", "a batch that was handed back counts as delivered"),
    step("dissolve", "forget_start(K, A.batch)", "", "a busy target counts as a start"),
    step("renew", "if now > lease.run_until then return { 'OVERDUE' } end", "", "a lease is renewed past the time limit"),
    step("renew", "lease.renewal + 1", "lease.renewal", "a renewal cannot be told from none"),
    step("cancel", "lease.token ~= A.token or ", "", "the next attempt is cancelled instead of the one that was seen"),
    step("cancel", "if meta.cancel then return { 'ALREADY', meta.cancel.by } end", "", "a second word undoes the first"),
    step("include/batch", "if meta.cancel and meta.cancel.retry then meta.cancel = nil end", "", "a batch to retry is set aside", "cancel"),
    step("reclaim", " or lease.renewal ~= tonumber(A.renewal)", "", "a lease that was renewed is reclaimed"),
    step(
        "reclaim",
        "if uptime < tonumber(A.min_uptime_s) then return { 'TOO_EARLY' } end",
        "",
        "leases are reclaimed on a server that just came up",
    ),
    step("sweep", "math.min(interval * 2, 60000)", "interval", "a backlog is rung as often as ever"),
    step("trim", "if newest >= tonumber(A.safe_ms) then break end", "", "a marker is forgotten before its inbox entry is gone"),
    step("handoff", "if handed_to(K, A.id, letter) then", "if false then", "a revival that was interrupted goes to a second agent"),
    step("revive", "if to then return { 'HANDED_OFF', to } end", "", "a letter that is handed over is revived here as well", "handoff"),
    step("drop", "if to then return { 'HANDED_OFF', to } end", "", "a letter that is handed over is dropped", "handoff"),
    step(
        "take_dead", "end_fates(K, A.agent, { A.id }, 'routed', now, to)", "redis.call('HDEL', K.fates, A.id)", "the old owner wakes again"
    ),
    step("include/fate", "if not string.find(entry, 'from:', 1, true) then", "if true then", "a handoff's marker is forgotten", "let_go"),
    step("acknowledge", "tonumber(revival) <= mine", "true", "a late router undoes a handoff's receipt", "take_dead"),
    step("move", "if lease.holder ~= '' and lease.ends + 60000 > now then", "if false then", "an agent that runs is moved"),
    step(
        "include/fence",
        "lease.token == token and lease.holder == holder",
        "lease.holder == holder",
        "an old token of the same holder is valid",
        "settle renew begin park",
    ),
    step(
        "include/due",
        "at = math.max(at, all, intent == 'manual' and 0 or rest)",
        "at = math.max(at, all)",
        "a busy target is looked at too early",
        "dissolve",
    ),
    step("include/lane", "if not current or due < tonumber(current) then", "if true then", "the coalescing window slides", "deposit"),
    step("include/now", "if now < last then", "if false then", "slot time runs backwards", "acquire sweep deposit renew"),
    rule("guards", "now_ms - s <= flood_window_ms", "now_ms - s < flood_window_ms", "a start as old as the window does not count"),
    rule("guards", "    if intent == Intent.MANUAL:\n        return None", "", "a person waits for the cooldown"),
    rule("sequel", "if failures + 1 >= rules.max_failures > 0:", "if failures >= rules.max_failures > 0:", "one attempt too many"),
    rule("sequel", "return busy if attempt <= 1 else Wait(busy.wait_ms, busy.reason)", "return busy", "a busy retry loses its batch id"),
    rule("sequel", "return min(int(delay * (0.8 + 0.4 * jitter)), rules.retry_max_ms)", "return delay", "retries are not spread"),
    rule(
        "policy", "parked.deliveries >= rules.max_deliveries > 0", "parked.deliveries > rules.max_deliveries > 0", "one delivery too many"
    ),
    rule("policy", "overdue = now_ms - since_ms >= rules.max_wait_ms > 0", "overdue = False", "urgent work starves the rest"),
    rule(
        "policy", "(Intent.TASK, DEEP, RIDER) if lane.intent == Intent.TASK else TURN_ORDER", "TURN_ORDER", "tasks and events share a turn"
    ),
)
