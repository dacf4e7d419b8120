"""The page of metrics, once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from dispatcher.cli.output import document
from dispatcher.cli.reach import AsJson, ConfigFile, reach
from dispatcher.core.exit_codes import UNREACHABLE

if TYPE_CHECKING:
    from dispatcher.core.metric_table import Sample, Spread


def register(app: typer.Typer) -> None:
    app.command()(metrics)


def metrics(config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Print the page of metrics that a router serves with [metrics] port, once and without a router. docs/metrics.md explains it.

    Exit code 75 when no server answers.

    \b
    Examples:
      wake metrics
      wake metrics | promtool check metrics
    """
    from dispatcher.core.metric_table import UP, Sample
    from dispatcher.metrics.measuring import Measuring
    from dispatcher.metrics.page import page

    reached = reach(config)
    found = list(Measuring(reached.store, reached.config).measure())
    if as_json:
        document([_shown(one) for one in found])
    else:
        sys.stdout.write(page(lambda: found, per_agent=reached.config.metrics.per_agent))
    if found == [Sample(UP, (), 0)]:
        raise typer.Exit(UNREACHABLE)


def _shown(one: Sample | Spread) -> dict[str, object]:
    from dispatcher.core.metric_table import BY_NAME

    return one._asdict() | {"labels": dict(zip(BY_NAME[one.name].labels, one.labels, strict=True))}
