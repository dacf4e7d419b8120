"""The whole state of a server as of one moment, read in one round trip, behind the reading half of a client's interface."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

DUMP = """
local out = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  local value
  if string.sub(key, -7) == ':ledger' or string.sub(key, -6) == ':order' then kind = 'skip'
  elseif kind == 'hash' then value = redis.call('HGETALL', key)
  elseif kind == 'zset' then value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
  elseif kind == 'set' then value = redis.call('SMEMBERS', key)
  elseif kind == 'stream' then
    local claimed = {}
    if #redis.call('XINFO', 'GROUPS', key) > 0 then claimed = redis.call('XPENDING', key, 'routers', '-', '+', 1000) end
    value = { redis.call('XRANGE', key, '-', '+'), claimed }
  else value = redis.call('GET', key) end
  if value then out[#out + 1] = { key, kind, value } end
end
return cjson.encode(out)
"""


def _pairs(flat: list[str]) -> Iterator[tuple[str, str]]:
    return zip(flat[::2], flat[1::2], strict=True)


class Picture:
    """Answers as the client of redis-py would. Ledgers are left out."""

    def __init__(self, client: Any) -> None:
        self._keys: dict[str, Any] = {}
        self._claims: dict[str, list[Any]] = {}
        for key, kind, value in json.loads(client.eval(DUMP, 0)):  # an empty array comes as an empty object
            match kind:
                case "hash":
                    self._keys[key] = dict(_pairs(value))
                case "zset":
                    self._keys[key] = {member: float(score) for member, score in _pairs(value)}
                case "stream":
                    self._keys[key] = {entry: dict(_pairs(fields)) for entry, fields in value[0]}
                    self._claims[key] = list(value[1])
                case _:
                    self._keys[key] = set(value) if kind == "set" else value

    def scan_iter(self, match: str, count: int = 0) -> Iterator[str]:
        del count
        return (key for key in self._keys if fnmatchcase(key, match))

    def hgetall(self, key: str) -> dict[str, str]:
        return dict(self._keys.get(key, {}))

    def hget(self, key: str, field: str) -> str | None:
        found: str | None = self._keys.get(key, {}).get(field)
        return found

    def hkeys(self, key: str) -> list[str]:
        return list(self._keys.get(key, {}))

    def hlen(self, key: str) -> int:
        return len(self._keys.get(key, {}))

    zcard = xlen = hlen

    def smembers(self, key: str) -> set[str]:
        return set(self._keys.get(key, ()))

    def zrange(self, key: str, first: int, last: int, *, withscores: bool = False) -> list[Any]:
        found = list(self._keys.get(key, {}).items())[first : None if last == -1 else last + 1]
        return found if withscores else [member for member, _ in found]

    def zlexcount(self, key: str, low: str, high: str) -> int:
        return sum(low[1:] <= member < high[1:] for member in self._keys.get(key, {}))

    def xrange(self, key: str, first: str = "-", last: str = "+") -> list[tuple[str, dict[str, str]]]:
        return [(entry, fields) for entry, fields in self._keys.get(key, {}).items() if first == "-" or first == entry == last]

    def xpending_range(self, key: str, *_: object) -> list[dict[str, str]]:
        return [{"message_id": claim[0]} for claim in self._claims.get(key, [])]

    def pipeline(self, transaction: bool = True) -> _Together:
        del transaction
        return _Together(self)


class _Together:
    """Reads that are asked for one after another and answered in one list."""

    def __init__(self, picture: Picture) -> None:
        self._picture, self._answers = picture, list[Any]()

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **words: self._answers.append(getattr(self._picture, name)(*args, **words))

    def execute(self) -> list[Any]:
        answers, self._answers = self._answers, []
        return answers
