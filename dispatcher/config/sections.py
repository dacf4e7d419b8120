"""The tables of wake.toml that are not about agents. Each field: unit, range, default, meaning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from dispatcher.config.section import DAY_MS, Section
from dispatcher.config.selectors import AgentSelector, BindingKey, OneAgent
from dispatcher.config.server_url import FORMS, ServerUrl


def _server_url(url: str) -> str:
    """Never repeats a part of the URL: it may hold a password."""
    said = ServerUrl.parse(url).options
    if said.get("ssl_cert_reqs", "required") != "required" or said.get("ssl_check_hostname", "true").lower() not in ("true", "1", "yes"):
        raise ValueError("would trust any server; name its certificate authority in [redis] ca_file instead")
    return url


class RedisSettings(Section):
    """[redis]: the server, and what a new store is created with (prefix and slots never change for a store)."""

    url: Annotated[str, AfterValidator(_server_url)] | None = Field(None, repr=False, description=f"{FORMS}. Unset: the embedded server.")
    password: SecretStr | None = Field(None, description="Password of the URL's user; better in password_file or WAKE_REDIS_PASSWORD.")
    password_file: str | None = Field(None, min_length=1, description="File with it, relative to this file's folder; `password` wins.")
    ca_file: str | None = Field(None, min_length=1, description="PEM file of the authority of a rediss:// server. Default: the system's.")
    sentinel_password: SecretStr | None = Field(None, description="Password of the sentinels themselves; better in sentinel_password_file.")
    sentinel_password_file: str | None = Field(None, min_length=1, description="File with it, as password_file.")
    prefix: str = Field("wake", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="First word of every key and queue.")
    data_dir: str = Field(".wake", min_length=1, description="Folder of the embedded server and the spool, relative to the file's folder.")
    slots: int = Field(64, ge=1, le=1_024, description="State slots of the store. Fixed when it is created.")
    socket_timeout_ms: int = Field(5_000, ge=50, le=60_000, description="ms to wait for an answer of the server.")
    connect_timeout_ms: int = Field(2_000, ge=50, le=60_000, description="ms to wait for a connection.")
    wait_replicas: int = Field(
        0, ge=0, le=10, description="Replicas that must have a completion before its receipt, and the begin and end of a heartbeat."
    )
    wait_replicas_ms: int = Field(1_000, ge=10, le=30_000, description="ms to wait for them; then the step counts as without an answer.")

    @model_validator(mode="after")
    def _one_password(self) -> RedisSettings:
        url = ServerUrl.parse(self.url) if self.url else None
        if url and url.password and (self.password is not None or self.password_file is not None):
            raise ValueError("has more than one password: take the one in the url out of it")
        if self.ca_file is not None and (url is None or url.scheme != "rediss"):
            raise ValueError("ca_file is for a server with TLS: the url must begin with rediss://")
        if self.sentinel_password is not None or self.sentinel_password_file is not None:
            if url is None or not url.by_sentinels:
                raise ValueError("sentinel_password is for sentinels: the url must begin with sentinel://")
            if "sentinel_password" in url.options:
                raise ValueError("has more than one sentinel_password: take the one in the url out of it")
        return self

    @model_validator(mode="after")
    def _replicas_fit(self) -> RedisSettings:
        if self.wait_replicas and self.url is None:
            raise ValueError("wait_replicas is for a server that has some: set url; the embedded one has none")
        if self.wait_replicas and self.wait_replicas_ms >= self.socket_timeout_ms:
            raise ValueError(f"wait_replicas_ms must be less than socket_timeout_ms = {self.socket_timeout_ms}")
        return self


class RoutingSettings(Section):
    """[routing]: who owns a session key that does not say so itself, and the pace of the router."""

    default_agent: OneAgent | None = Field(None, description="Agent of keys that nothing else resolves. Unset: they become dead letters.")
    unknown_agents: Literal["refuse", "accept"] = Field("refuse", description="What happens to a valid id that the file does not know.")
    bindings: dict[BindingKey, OneAgent] = Field({}, description="Exact session key (not of the form agent:…) -> one agent id.")
    require_token: bool = Field(
        False, description="Whether a completion or wake without a token that covers its agent becomes a dead letter `forbidden`."
    )
    route_batch: int = Field(500, ge=1, le=2_000, description="Inbox entries taken in one step.")
    interval_ms: int = Field(500, ge=10, le=500, description="ms between two looks at the inbox when no message comes.")
    claim_idle_ms: int = Field(6_000, ge=500, le=3_600_000, description="ms after which another router may take over an unanswered entry.")
    max_claims: int = Field(5, ge=1, le=100, description="Claims of an entry without an answer before it is a dead letter `router-crash`.")


class TokenSettings(Section):
    """[tokens]: the keys of ingress tokens. WAKE_TOKEN_KEYS in the environment stands for the files."""

    key_files: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="Files with keys, one a line; the first key signs, all verify. None: token.keys in data_dir."
    )


class PoolSettings(Section):
    """[pools.NAME]: workers and queues of some agents. The pool `agents` always exists and takes everyone no other pool names."""

    agents: Annotated[tuple[AgentSelector, ...], Field(strict=False)] = Field(
        (), description="Agent ids and patterns (`lab-*`) of this pool."
    )
    partitions: int = Field(16, ge=1, le=100, description="Queues of the pool. May change at any time.")
    concurrency: int = Field(8, ge=1, le=1_000, description="Heartbeats that one worker runs at a time.")
    pool_type: Literal["threads", "prefork"] = Field("threads", description="Celery pool of the workers.")
    max_running: int = Field(0, ge=0, le=1_000_000, description="Heartbeats of the pool at a time on all machines together; 0: no cap.")


class LeaseSettings(Section):
    """[lease]: the time-bound right to run an agent."""

    ttl_ms: int = Field(30_000, ge=300, le=3_600_000, description="ms a lease lasts; more than 3 renewals.")
    renew_ms: int = Field(5_000, ge=50, le=600_000, description="ms between two renewals.")
    margin_ms: int = Field(2_000, ge=10, le=600_000, description="ms before the end of the lease at which its holder stops trusting it.")
    claim_ms: int = Field(10_000, ge=100, le=600_000, description="ms from a lease to the begin of its batch; then it lapses.")
    early_reclaim_ms: int = Field(500, ge=100, le=60_000, description="ms between the two looks that find a holder dead.")
    grace_ms: int = Field(10_000, ge=0, le=3_600_000, description="ms a cancelled or draining heartbeat has to end by itself.")

    @model_validator(mode="after")
    def _fits(self) -> LeaseSettings:
        if self.ttl_ms <= 3 * self.renew_ms:
            raise ValueError(f"ttl_ms = {self.ttl_ms} must exceed 3 renewals (3 x renew_ms = {3 * self.renew_ms})")
        if self.margin_ms + self.renew_ms >= self.ttl_ms:
            raise ValueError(f"margin_ms + renew_ms = {self.margin_ms + self.renew_ms} must be less than ttl_ms = {self.ttl_ms}")
        return self


class CapsSettings(Section):
    """[caps]: how many heartbeats there may be at a time, and how fast work that an outage made late is released."""

    max_running: int = Field(0, ge=0, le=1_000_000, description="Heartbeats at a time on all machines together; 0: no cap.")
    overdue_ms: int = Field(60_000, ge=0, le=DAY_MS, description="ms after its due time that work counts as late; 0: never.")
    release_per_s: float = Field(
        50, ge=0, le=100_000, description="Late heartbeats a pool starts in a second, most urgent first; 0: as many as can."
    )


class SweepSettings(Section):
    """[sweep]: how every worker looks for agents that are due.

    What all processes of a store must agree on is no setting: a doorbell is repeated after 2 s, doubling to 60 s while its queue has a
    backlog, and a slot counts as unswept after 1 s. A look that is late by as much again must still be within that.
    """

    interval_ms: int = Field(100, ge=10, le=500, description="ms between two looks.")
    batch: int = Field(100, ge=1, le=10_000, description="Due agents taken from one slot in one look.")
    young_server_ms: int | None = Field(
        None,
        ge=0,
        le=3_600_000,
        description="ms after the server's start without early reclaim. None: as long as a lease lasts, at least 30000.",
    )


class BoundsSettings(Section):
    """[bounds]: how much is kept. Nothing accepted is evicted at a bound: what does not fit is refused or set aside, visibly."""

    max_inbox: int = Field(100_000, ge=1, description="Unrouted completions; then producers are refused with a time to retry.")
    max_mailbox: int = Field(10_000, ge=1, description="Waiting completions of one agent; more become dead letters `mailbox-full`.")
    max_dead: int = Field(100_000, ge=1, description="Dead letters of one agent, and of nobody; then routers stop acknowledging.")
    dead_ms: int = Field(0, ge=0, description="ms after which a dead letter is dropped, with the receipt `expired`. 0: never.")
    alert_dead: int = Field(1_000, ge=0, description="Dead letters in all from which `wake status` and the routers' logs warn. 0: never.")
    max_spool: int = Field(10_000, ge=1, description="Completions that one host keeps while no server takes them; more are told as lost.")
    dedupe_ms: int = Field(
        DAY_MS, ge=1_000, le=30 * DAY_MS, description="ms a completion id is known as a duplicate; about 120 bytes each."
    )
    max_ids: int = Field(1_000_000, ge=1, description="Ids known as duplicates at most; the oldest are forgotten first.")
    ledger_ms: int = Field(7 * DAY_MS, ge=60_000, le=365 * DAY_MS, description="ms the trace of a finished completion is kept.")
    ledger_completions: int = Field(200_000, ge=1, description="Traces of finished completions kept; the oldest go first.")
    ledger_receipts: int = Field(
        10_000, ge=100, le=10_000_000, description="Newest receipts (starts, ends, deferrals, refusals) kept in each slot of a pool."
    )
    runner_output_bytes: int = Field(65_536, ge=0, le=16_777_216, description="Bytes kept of what a runner's command prints.")
    request_events: int = Field(50, ge=1, le=5_000, description="Newest completions shown verbatim to a heartbeat.")
    request_bytes: int = Field(65_536, ge=1_024, le=16_777_216, description="Bytes of their texts and outputs together.")


class HttpSettings(Section):
    """[http]: the ingress over HTTP, `wake web` or `wake up --http`."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on. Beyond loopback, put TLS before it.")
    port: int = Field(8377, ge=0, le=65_535, description="Port to listen on; 0 takes a free one and says which.")
    uds: str | None = Field(None, min_length=1, description="Unix socket instead, relative to the file's folder; for its owner only.")
    require_token: bool = Field(
        True, description="Whether every request needs a bearer token. Only on loopback or a socket may it be false."
    )
    max_body_bytes: int = Field(4_194_304, ge=1_024, le=67_108_864, description="Bytes of one request's body.")
    max_batch: int = Field(200, ge=1, le=5_000, description="Completions in one request.")
    header_timeout_s: float = Field(10, gt=0, le=600, description="s for a request's head to arrive; then the connection is closed.")
    body_timeout_s: float = Field(30, gt=0, le=600, description="s for its body to arrive.")
    keep_alive_s: int = Field(15, ge=1, le=600, description="s that a connection may be idle between two requests.")
    max_wait_s: float = Field(60, ge=0, le=3_600, description="s that a request may wait for a completion to be settled.")
    max_waiting: int = Field(1_000, ge=1, le=100_000, description="Requests that may wait so at a time.")
    max_connections: int = Field(1_500, ge=1, le=100_000, description="Connections at a time; more are answered 503.")
    threads: int = Field(16, ge=1, le=256, description="Calls to the store at a time.")
    max_queued: int = Field(256, ge=0, le=100_000, description="Requests that may wait for a thread; more are answered 503.")
    auth_failures: int = Field(20, ge=1, le=100_000, description="Refused tokens of one peer in auth_window_s; more are answered 429.")
    auth_window_s: float = Field(60, gt=0, le=86_400, description="s that refused tokens are counted over.")


class LoggingSettings(Section):
    """[logging]: what router and workers say on standard error, one line per event."""

    format: Literal["human", "json"] = Field("human", description="Lines for people, or one JSON object a line for a log collector.")
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The least important lines that are still said.")
    burst: int = Field(200, ge=1, le=1_000_000, description="Lines of one kind within burst_ms; what is more is counted, not said.")
    burst_ms: int = Field(10_000, ge=100, le=3_600_000, description="ms that a burst is counted over.")


class MetricsSettings(Section):
    """[metrics]: the page that Prometheus scrapes. A router serves it, for the whole store; what workers count lies in the store."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on. Nobody is asked for a password there.")
    port: int = Field(0, ge=0, le=65_535, description="Port to listen on; of several routers on a host one has it. 0: no page.")
    per_agent: bool = Field(False, description="Whether depth, oldest wake and budget are told of single agents too: a series each.")
    max_agents: int = Field(
        500,
        ge=1,
        le=100_000,
        description="Agents with work that one scrape explains, the longest due first; of ten times as many it counts.",
    )
