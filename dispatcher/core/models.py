"""Values that travel: frozen, strict, without a client, a clock or a default that widens.

An `Address` is the only way to name a receiver, and it holds exactly one agent id and one session key.
There is no list of agents, no wildcard and no optional agent anywhere behind it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from dispatcher.core import session_key as keys
from dispatcher.core.words import DeadReason as DeadReason
from dispatcher.core.words import Fate as Fate
from dispatcher.core.words import Intent as Intent
from dispatcher.core.words import Source as Source

MAX_OUTPUT_BYTES = 64 * 1024
MAX_SESSION_KEY_BYTES = 512
SCHEMA_VERSION = 1
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _no_control(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("control characters are not allowed")
    return text


def _session_key_bytes(text: str) -> str:
    size = len(text.encode("utf-8"))  # a lone surrogate raises UnicodeEncodeError, a ValueError
    if size > MAX_SESSION_KEY_BYTES:
        raise ValueError(f"a session key has at most {MAX_SESSION_KEY_BYTES} bytes, this one has {size}")
    return _no_control(text)


def tail_of(text: str, max_bytes: int) -> str:
    """The end of `text` in at most `max_bytes` UTF-8 bytes, cut on a character boundary; lone surrogates become `?`."""
    raw = text.encode("utf-8", "replace")
    return raw[-max_bytes:].decode("utf-8", "ignore") if len(raw) > max_bytes else raw.decode("utf-8")


def well_formed(text: object) -> object:
    """A name or a command line may come from bytes that were no UTF-8; a completion is not refused for that."""
    return text.encode("utf-8", "replace").decode("utf-8") if isinstance(text, str) else text


ID_PATTERN, ID_WORDS = r"^[\x21-\x7e]{1,200}$", "1 to 200 visible ASCII characters, no space"
CompletionId = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
AgentId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
RawSessionKey = Annotated[str, AfterValidator(_session_key_bytes)]
ShortText = Annotated[str, BeforeValidator(well_formed), StringConstraints(max_length=4096)]
# JSON has one kind of number: 1.0 is a whole one.
Whole = Annotated[int, BeforeValidator(lambda n: int(n) if isinstance(n, float) and n.is_integer() else n)]
Trace = Annotated[dict[str, Annotated[str, StringConstraints(max_length=1024)]], Field(max_length=8)]
IngressToken = Annotated[Annotated[str, StringConstraints(max_length=4096)] | None, Field(repr=False, exclude=True)]


class Value(BaseModel):
    """Base of the values: immutable, no coercion."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Address(Value):
    """Exactly one agent and one of its sessions. The session key is canonical and belongs to that agent."""

    agent_id: AgentId
    session_key: RawSessionKey

    @model_validator(mode="after")
    def _same_owner(self) -> Address:
        parsed = keys.parse(self.session_key)
        if parsed is None or parsed.agent_id != self.agent_id or parsed.key != self.session_key:
            raise ValueError(f"session key {self.session_key!r} is not a canonical key of agent {self.agent_id!r}")
        return self


class ExecCompletion(BaseModel):
    """A finished exec as its producer reports it. Unknown fields are kept, so that older routers pass on newer producers' words.

    `started_at` and `finished_at` take an aware datetime, an RFC 3339 text or a Unix time. Of `output` the last 64 KiB are kept.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", hide_input_in_errors=True)

    kind: Literal["exec"] = "exec"
    v: Whole = Field(SCHEMA_VERSION, ge=1)
    completion_id: CompletionId
    session_key: RawSessionKey = ""
    agent_id: ShortText | None = None
    run_id: ShortText | None = None
    step_id: ShortText | None = None
    command: ShortText | None = None
    exit_code: Whole | None = None
    signal: Annotated[str, BeforeValidator(well_formed), StringConstraints(max_length=32)] | None = None
    timed_out: bool = False
    cancelled: bool = False
    output: Annotated[str, AfterValidator(lambda text: tail_of(text, MAX_OUTPUT_BYTES))] = ""
    started_at: Annotated[AwareDatetime, Field(strict=False)] | None = None
    finished_at: Annotated[AwareDatetime, Field(strict=False)] | None = None
    host: ShortText | None = None
    trace: Trace | None = None
    lineage: dict[str, Any] | None = None
    token: IngressToken = None


class Stored(Value):
    """Base of what lies in the store. What a newer version wrote beside is passed over: versions are mixed while hosts are upgraded."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Lineage(Stored):
    """Which chain of heartbeats something belongs to: the id that began it, and how many heartbeats lie between.

    `agent_id` is whose heartbeat caused it; None at depth 0.
    """

    root: CompletionId
    depth: int = Field(0, ge=0, le=1_000_000)
    agent_id: AgentId | None = None


Via = Literal["session-key", "binding", "default"]  # how the owner of a session key was found


class Route(Value):
    """The answer of the resolver: one address, its pool, the queue it is rung on, and how the owner was found."""

    address: Address
    pool: str
    queue: str
    via: Via


class Wake(Stored):
    """One reason to run an agent's heartbeat, as it lies in the mailbox; its output lies beside it.

    `key` is the session key as the producer gave it, for a dead letter that is resolved afresh.
    """

    wake_id: CompletionId
    source: Source
    intent: Intent
    reason: str
    text: str
    failed: bool = False
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    finished_at: str | None = None
    key: str = ""
    via: str = "session-key"
    trace: dict[str, str] | None = None
    lineage: Lineage | None = None
    accepted_at_ms: int


class Batch(Value):
    """The wakes of one heartbeat, frozen at begin, oldest first; `outputs` by wake id, of the newest only."""

    batch_id: str
    address: Address
    attempt: int
    failures: int
    deliveries: int
    wakes: tuple[Wake, ...]
    outputs: dict[str, str]


class Lease(Value):
    """The time-bound right to run one agent; how long it lasts is known to the store. `token` fences every step of its holder."""

    agent_id: AgentId
    pool: str
    token: int
    holder: str


class Event(Value):
    """One completion, verbatim, as the runner sees it. `text` and `output` come from a command: untrusted."""

    completion_id: str
    text: str
    exit_code: int | None = None
    signal: str | None = None
    timed_out: bool = False
    output: str = ""
    finished_at: str | None = None


class HeartbeatRequest(Value):
    """What a runner is asked to do once. `completion_ids` are exactly the ids that its settling settles.

    `lineage` is that of its deepest member: what this heartbeat causes lies one deeper.
    """

    v: int = SCHEMA_VERSION
    agent_id: AgentId
    session_key: str
    batch_id: str
    attempt: int
    token: int
    reason: str
    intent: Intent
    source: Source
    completion_ids: tuple[str, ...]
    events: tuple[Event, ...]
    digest: str | None = None
    truncated: bool = False
    untrusted: tuple[str, ...] = ("events[].text", "events[].output", "events[].signal", "reason")
    trace: dict[str, str] | None = None
    lineage: Lineage | None = None


class Ran(Value):
    """The turn took place. `acted` is False when the runner knows that nothing came of it."""

    kind: Literal["ran"] = "ran"
    acted: bool = True
    note: str = ""


class Skipped(Value):
    """The turn was not needed; final, with a receipt."""

    kind: Literal["skipped"] = "skipped"
    reason: str


class Busy(Value):
    """The request never reached the model. The batch dissolves, no attempt is counted."""

    kind: Literal["busy"] = "busy"
    reason: str = "requests-in-flight"
    retry_after_ms: int | None = None


class Failed(Value):
    """The turn failed or its end is unknown. The same batch runs again, unless `final`."""

    kind: Literal["failed"] = "failed"
    error: str
    final: bool = False
    note: str = ""


Outcome = Ran | Skipped | Busy | Failed


class DeadLetter(Value):
    """A completion set aside: visible, revivable, never evicted. `handoff_to`: the agent that its interrupted revival is for."""

    completion_id: str
    reason: str
    session_key: str
    agent_id: str | None
    attempts: int
    dead_at_ms: int
    batch_id: str | None = None
    errors: tuple[str, ...] = ()
    handoff_to: str | None = None


class Receipt(Value):
    """The answer to a submit. `duplicate` means that the id was accepted earlier; the rest is then the first answer."""

    completion_id: str
    entry_id: str
    accepted_at_ms: int
    duplicate: bool = False
