"""Stands in for the `valkey-cli` of the server's image: `--user NAME -h HOST -p PORT COMMAND…`, the password in REDISCLI_AUTH."""

from __future__ import annotations

import argparse
import os
from typing import Any

import redis


def main() -> int:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-h", dest="host", default="127.0.0.1")
    parser.add_argument("-p", dest="port", type=int, default=6379)
    parser.add_argument("--user")
    parser.add_argument("words", nargs="+")
    given = parser.parse_args()
    password = os.environ.get("REDISCLI_AUTH") or None
    client: Any = redis.Redis(given.host, given.port, username=given.user, password=password, decode_responses=True, protocol=2)
    try:
        answer = client.execute_command(*given.words)
    except redis.RedisError as error:
        print(error)
        return 1
    print("PONG" if answer is True else answer)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
