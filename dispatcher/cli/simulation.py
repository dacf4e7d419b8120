"""`wake simulate`: what a policy does to a scenario, or would have done to what really arrived."""

from __future__ import annotations

from typing import Annotated

import typer

from dispatcher.cli.reach import AsJson, ConfigFile


def register(app: typer.Typer) -> None:
    app.command()(simulate)


def simulate(
    scenario: Annotated[
        str | None, typer.Option("--scenario", metavar="FILE", help="What happens: a TOML file, see docs/simulate.md.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--from-ledger",
            metavar="SINCE",
            help='What really arrived: since "24h" ago, or since a time such as 2026-03-01T08:00+01:00. Reads only.',
            show_default=False,
        ),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="FILE", help="A wake.toml to use instead of the present one.", show_default=False)
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="The present configuration and --policy, side by side.")] = False,
    picture: Annotated[
        str | None, typer.Option("--picture", metavar="FILE.svg", help="A time line of each agent.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Try a policy under a virtual clock: when agents would run, and what they would wait for.

    The rules and the Lua steps are those of production, on a private server of their own; nothing is woken and nothing is written to
    the store. The present configuration is the scenario's [settings], else the one in force. Exit code 1 when the ledger has nothing.

    \b
    Examples:
      wake simulate --scenario examples/scenarios/burst.toml --picture burst.svg
      wake simulate --from-ledger 24h --policy other.toml --compare --json
    """
    from dispatcher.cli.simulation_run import Asked, run  # the store and rich's progress: nothing that `wake --help` needs

    run(Asked(scenario, since, policy, compare, picture, config, as_json))
