"""The whole configuration as a value, and the questions that the rest of the project asks it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Field, PrivateAttr, SecretStr

from dispatcher.config.agents import AgentPolicy
from dispatcher.config.credential import Credential
from dispatcher.config.section import Section
from dispatcher.config.sections import (
    BoundsSettings,
    CapsSettings,
    HttpSettings,
    LeaseSettings,
    LoggingSettings,
    MetricsSettings,
    PoolSettings,
    RedisSettings,
    RoutingSettings,
    SweepSettings,
    TokenSettings,
)
from dispatcher.config.selectors import AgentSelector, PoolName, is_pattern, matching
from dispatcher.config.server_url import ServerUrl
from dispatcher.core.rules import Rules
from dispatcher.core.session_key import fold_agent_id, valid_agent_id

DEFAULT_POOL = "agents"


class Config(Section):
    """Everything that wake.toml and the environment say. Built by `load`; without a file it holds the defaults and knows no agent."""

    redis: RedisSettings = RedisSettings()
    defaults: AgentPolicy = AgentPolicy()
    agents: dict[AgentSelector, AgentPolicy] = Field({}, description="Agent id or pattern -> what differs from [defaults].")
    routing: RoutingSettings = RoutingSettings()
    tokens: TokenSettings = TokenSettings()
    pools: dict[PoolName, PoolSettings] = Field({}, description="Pool name -> its agents and size.")
    lease: LeaseSettings = LeaseSettings()
    sweep: SweepSettings = SweepSettings()
    caps: CapsSettings = CapsSettings()
    bounds: BoundsSettings = BoundsSettings()
    http: HttpSettings = HttpSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()

    _source: Path | None = PrivateAttr(None)
    _base_dir: Path = PrivateAttr(default_factory=Path.cwd)

    # Computed once. Not private attributes: pydantic looks those up by a detour, and these are asked for several times by each completion.

    @cached_property
    def rules_known(self) -> dict[str, Rules]:
        """What `rules_of` computed of this configuration lately."""
        return {}

    @cached_property
    def rules_shared(self) -> dict[tuple[int, str], Rules]:
        """What `rules_of` computed for all agents of one policy object and one pool."""
        return {}

    @cached_property
    def policies_known(self) -> dict[tuple[str, ...], AgentPolicy]:
        """What `agent` made of these layers."""
        return {}

    def __copy__(self) -> Config:
        """Nothing that was computed goes along, whoever copies: a copy is made to differ in what it was computed from."""
        return self._uncomputed(super().__copy__())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Config:
        return self._uncomputed(super().__deepcopy__(memo))

    @property
    def source(self) -> Path | None:
        """The file that was read, absolute; None when there was none."""
        return self._source

    @property
    def base_dir(self) -> Path:
        """What relative paths count from: the folder of the file, else the folder in which the process started."""
        return self._base_dir

    @property
    def data_dir(self) -> Path:
        """Folder of the embedded server and the spool, absolute. It need not exist."""
        return self._base_dir / Path(self.redis.data_dir).expanduser()

    def redis_url(self) -> str | None:
        """The configured server, with its passwords; None means the embedded one, which `dispatcher.embedded.server_url` finds.

        Raises ConfigError when the file of a password cannot be read.
        """
        said = self.redis
        if said.url is None:
            return None
        ca_file = str(self._base_dir / Path(said.ca_file).expanduser()) if said.ca_file is not None else None
        password = self._secret(said.password, said.password_file)
        sentinel_password = self._secret(said.sentinel_password, said.sentinel_password_file)
        return str(ServerUrl.parse(said.url).completed(password, ca_file, sentinel_password))

    def _secret(self, plain: SecretStr | None, file: str | None) -> str | None:
        """The value wins over the file. Raises ConfigError."""
        if plain is not None:
            return plain.get_secret_value()
        return Credential(file=str(self._base_dir / Path(file).expanduser())).lines()[0] if file is not None else None

    def secret_variables(self) -> frozenset[str]:
        """Variables of the worker's environment that hold secrets of runners."""
        runners = (policy.runner for policy in (self.defaults, *self.agents.values()))
        return frozenset(name for runner in runners if (name := getattr(runner, "secret_env", None)) is not None)

    def agent(self, agent_id: str) -> AgentPolicy:
        """The policy of one agent, known or not: [defaults], then each matching pattern, the most specific last, then its exact table.

        Each layer replaces only the keys that it names. A runner comes with absolute paths. Raises InvalidAddress.
        """
        layers = self._layers(fold_agent_id(agent_id))
        known = self.policies_known.get(layers)  # agents of the same layers share one: there may be very many
        if known is None:
            policy = self.defaults
            for layer in layers:
                said = self.agents[layer]
                policy = policy.model_copy(update={name: getattr(said, name) for name in said.model_fields_set})
            placed = {
                name: runner.placed(self._base_dir) for name in ("runner", "precheck") if (runner := getattr(policy, name)) is not None
            }
            known = self.policies_known[layers] = policy.model_copy(update=placed)
        return known

    def knows(self, agent_id: str) -> bool:
        """Whether completions of this agent are routed at all; False for a text that is no agent id.

        Known is who the file names: an exact id or a matching pattern in [agents], an exact id in a pool, a binding's target, the
        default agent. A pattern of a pool makes nobody known. With `unknown_agents = "accept"` every valid id is known.
        """
        if not valid_agent_id(agent_id):
            return False
        agent_id = agent_id.lower()
        return self.routing.unknown_agents == "accept" or agent_id in self.known_ids() or bool(matching(self.patterns, agent_id))

    def known_ids(self) -> frozenset[str]:
        """Every agent that the file names by its exact id."""
        return self.named

    @cached_property
    def named(self) -> frozenset[str]:
        """As `known_ids`."""
        named = {selector for selector in self._selectors() if not is_pattern(selector)}
        named |= set(self.routing.bindings.values())
        if self.routing.default_agent is not None:
            named.add(self.routing.default_agent)
        return frozenset(named)

    def pool_of(self, agent_id: str) -> str:
        """The pool of an agent: the one that names its exact id, else the most specific pattern, else `agents`. Raises InvalidAddress."""
        agent_id = fold_agent_id(agent_id)
        owners, wild = self.pool_owners
        patterns = matching(wild, agent_id) if wild else []
        return owners.get(agent_id) or (owners[patterns[-1]] if patterns else DEFAULT_POOL)

    @cached_property
    def pool_owners(self) -> tuple[dict[str, str], tuple[str, ...]]:
        """The pool of each selector in a pool's `agents`; and those that are patterns."""
        owners = {selector: name for name, pool in self.pools.items() for selector in pool.agents}
        return owners, tuple(selector for selector in owners if is_pattern(selector))

    def pool(self, name: str) -> PoolSettings:
        """The settings of a pool. A name that the file does not have is a pool of one agent: one queue, one heartbeat at a time."""
        if name in self.pools:
            return self.pools[name]
        return PoolSettings() if name == DEFAULT_POOL else PoolSettings(partitions=1, concurrency=1)

    def pool_names(self) -> tuple[str, ...]:
        """The default pool first, then the others of the file in order."""
        return (DEFAULT_POOL, *(name for name in self.pools if name != DEFAULT_POOL))

    def place(self, source: Path | None, base_dir: Path) -> Config:
        """Says where the values came from; for `load`, before anybody asks."""
        self._source, self._base_dir = source, base_dir
        return self

    @cached_property
    def patterns(self) -> tuple[str, ...]:
        """Those in [agents]."""
        return tuple(selector for selector in self.agents if is_pattern(selector))

    def _layers(self, agent_id: str) -> tuple[str, ...]:
        """The tables of [agents] that say something of this agent, the last one wins."""
        own = (agent_id,) if agent_id in self.agents else ()
        return (*matching(self.patterns, agent_id), *own) if self.patterns else own

    @staticmethod
    def _uncomputed(copied: Config) -> Config:
        for name, value in vars(Config).items():
            if isinstance(value, cached_property):
                copied.__dict__.pop(name, None)
        return copied

    def _selectors(self) -> Iterator[str]:
        yield from self.agents
        for pool in self.pools.values():
            yield from pool.agents


def _keys_of(annotation: Any) -> type[BaseModel]:
    """What stands in a table: of one whose keys are names, what stands under each name."""
    named: type[BaseModel] = get_args(annotation)[1] if get_origin(annotation) is dict else annotation
    return named


# Every table of wake.toml, in the order of the file, and what it may hold.
TABLES = {name: _keys_of(field.annotation) for name, field in Config.model_fields.items()}
NAMED_TABLES = tuple(name for name, field in Config.model_fields.items() if get_origin(field.annotation) is dict)
