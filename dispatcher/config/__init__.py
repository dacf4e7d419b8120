"""wake.toml and the environment: validated as a whole, every field with unit, range and default. Read when asked, never at import.

Where the file is looked for: `--config`, the variable WAKE_CONFIG, `./wake.toml`; without any, the defaults hold. Afterwards the
variables `WAKE_<TABLE>_<KEY>` (`WAKE_REDIS_URL`, `WAKE_LEASE_TTL_MS`, …; tables redis, defaults, routing, tokens, lease, sweep, caps,
bounds, http, logging, metrics) and `WAKE_DATA_DIR` win over the file. Relative paths count from the file's folder, those in a variable from
the current one.
"""

from dispatcher.config.agents import AgentPolicy
from dispatcher.config.loading import load, parsed
from dispatcher.config.model import DEFAULT_POOL, Config
from dispatcher.config.rules import rules_of
from dispatcher.config.runners import CommandRunner, HttpRunner, OpenClawRunner, PythonRunner, Runner
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

__all__ = [
    "DEFAULT_POOL",
    "AgentPolicy",
    "BoundsSettings",
    "CapsSettings",
    "CommandRunner",
    "Config",
    "HttpRunner",
    "HttpSettings",
    "LeaseSettings",
    "LoggingSettings",
    "MetricsSettings",
    "OpenClawRunner",
    "PoolSettings",
    "PythonRunner",
    "RedisSettings",
    "RoutingSettings",
    "Runner",
    "SweepSettings",
    "TokenSettings",
    "load",
    "parsed",
    "rules_of",
]
