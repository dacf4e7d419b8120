"""`python -P -m workers worker|up|flower|web`: what the `wake` command becomes for its long-running subcommands."""

from __future__ import annotations

import argparse
import sys

from dispatcher.app import use_config
from dispatcher.core.errors import ConfigError, InvalidAddress, LayoutMismatch, StoreUnavailable, WakeError
from dispatcher.core.exit_codes import NO, UNREACHABLE, USAGE
from workers.flower import ADDRESS, PORT, run_flower
from workers.launch import Options, run
from workers.supervisor import run_up
from workers.web import run_web


def main(arguments: list[str]) -> int:
    """The exit code: 0 after a drain, 2 for a configuration that cannot work, 75 without a server, 1 for any other error of ours."""
    parser = argparse.ArgumentParser(prog="wake")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("up", "worker", "flower", "web"):
        command = commands.add_parser(name)
        command.add_argument("--config")
        if name == "worker":
            command.add_argument("--pool")
            command.add_argument("--agent")
            command.add_argument("--route", action="store_true")
            command.add_argument("--concurrency", type=int)
        elif name == "up":
            command.add_argument("--flower", action="store_true")
            command.add_argument("--flower-port", type=int, default=PORT)
            command.add_argument("--http", action="store_true")
        elif name == "web":
            command.add_argument("--host")
            command.add_argument("--port", type=int)
            command.add_argument("--uds")
        else:
            command.add_argument("--port", type=int, default=PORT)
            command.add_argument("--address", default=ADDRESS)
    given = parser.parse_args(arguments)
    try:
        if given.config:
            use_config(given.config)
        if given.command == "up":
            return run_up(given.flower_port if given.flower else None, http=given.http)
        if given.command == "web":
            run_web(given.host, given.port, given.uds)
            return 0
        if given.command == "flower":
            run_flower(given.port, given.address)
            return 0
        run(Options(given.pool, given.agent, given.route, given.concurrency))
        return 0
    except (ConfigError, LayoutMismatch, InvalidAddress) as error:
        print(f"wake {given.command}: {error}", file=sys.stderr)
        return USAGE
    except StoreUnavailable as error:
        print(f"wake {given.command}: {error}", file=sys.stderr)
        return UNREACHABLE
    except WakeError as error:
        print(f"wake {given.command}: {error}", file=sys.stderr)
        return NO


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
