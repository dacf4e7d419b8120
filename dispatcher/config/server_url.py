"""The URL of the server, understood in one place: a server, a socket, or sentinels that say which server is the primary."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

FORMS = "redis://host:port/db, rediss://…, unix:///path?db=0 or sentinel://host:port,host:port/db?master=NAME"
MASK = "***"
SENTINEL = "sentinel"
_PORTS = {SENTINEL: 26379}
_OF_SENTINELS = {"master", "db", "username", "password", "sentinel_username", "sentinel_password"}


@dataclass(frozen=True)
class ServerUrl:
    """Its parts as they are written, percent-encoded. `str()` is the whole URL; what stands in login and query is not for people."""

    scheme: str
    login: str = field(repr=False)
    place: str  # host and port, of sentinels a list with commas
    path: str
    query: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> ServerUrl:
        """Raises ValueError, which repeats no part of the URL: it may hold a password."""
        parts = urlsplit(text)
        login, _, place = parts.netloc.rpartition("@")
        url = cls(parts.scheme, login, place, parts.path, parts.query)
        if parts.scheme not in ("redis", "rediss", "unix", SENTINEL):
            raise ValueError(f"must have the form {FORMS}")
        if parts.scheme == "unix" and not parts.path.strip("/"):
            raise ValueError(f"names no socket; must have the form {FORMS}")
        try:
            ports_fit = all(host and port for host, port in url.hosts) if url.by_sentinels else parts.port != 0
        except ValueError:
            ports_fit = False
        if not ports_fit:
            raise ValueError("has no usable port; in a password, / ? # @ and : must be percent-encoded")
        if url._database and not (url._database.isascii() and url._database.isdecimal()):
            raise ValueError(f"must end with the number of a database, as in {FORMS}")
        if url.by_sentinels and not url.master:
            raise ValueError("must name what the sentinels watch: sentinel://host:port,host:port/db?master=NAME")
        if url.by_sentinels and (unknown := set(url.options) - _OF_SENTINELS):
            raise ValueError(f"has {len(unknown)} unknown options; a sentinel:// URL knows {', '.join(sorted(_OF_SENTINELS))}")
        return url

    def __str__(self) -> str:
        login = f"{self.login}@" if self.login else ""
        return f"{self.scheme}://{login}{self.place}{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def by_sentinels(self) -> bool:
        """Whether `hosts` are sentinels, and not the server itself."""
        return self.scheme == SENTINEL

    @property
    def hosts(self) -> list[tuple[str, int]]:
        """Of a socket none. Raises ValueError for a port that is none."""
        if self.scheme == "unix":
            return []
        each = [urlsplit(f"//{place}") for place in self.place.split(",")]
        return [(part.hostname or "", _PORTS.get(self.scheme, 6379) if part.port is None else part.port) for part in each]

    @cached_property
    def options(self) -> dict[str, str]:
        """Those behind the `?`; of one that is named twice the last."""
        return {name: values[-1] for name, values in parse_qs(self.query).items()}

    @property
    def _database(self) -> str:
        return self.options.get("db", "" if self.scheme == "unix" else self.path.strip("/"))

    @property
    def database(self) -> int:
        return int(self._database or 0)

    @property
    def master(self) -> str:
        """The name under which sentinels watch the primary; of another URL empty."""
        return self.options.get("master", "") if self.by_sentinels else ""

    @property
    def user(self) -> str:
        return unquote(self.login.partition(":")[0]) or self.options.get("username", "")

    @property
    def password(self) -> str:
        return unquote(self.login.partition(":")[2]) or self.options.get("password", "")

    @property
    def encoded_login(self) -> str:
        """User and password as another URL takes them, with the `@`; empty without."""
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        return f"{user}:{password}@" if user or password else ""

    def completed(self, password: str | None = None, ca_file: str | None = None, sentinel_password: str | None = None) -> ServerUrl:
        """With what was said beside it. For connections alone: it is a secret then."""
        url = self
        if password is not None:
            user = self.login.partition(":")[0] or quote(self.options.get("username", ""), safe="")
            url = replace(url, login=f"{user}:{quote(password, safe='')}")
        for name, value in (("ssl_ca_certs", ca_file), ("sentinel_password", sentinel_password)):
            if value is not None:
                url = replace(url, query="&".join(filter(None, (url.query, urlencode({name: value})))))
        return url

    def masked(self) -> str:
        """As it is written, without its passwords."""
        user, colon, _ = self.login.partition(":")
        pairs = [pair.partition("=") for pair in self.query.split("&")]
        query = "&".join(f"{name}={MASK}" if "password" in name.lower() else name + is_ + value for name, is_, value in pairs)
        return str(replace(self, login=f"{user}:{MASK}" if colon else self.login, query=query))

    def shown(self) -> str:
        """Where it leads, for people: no login, no options."""
        if self.scheme == "unix":
            return f"unix:{unquote(self.path)}"
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{self.scheme}://{hosts}{self.path}" + (f"?master={self.master}" if self.by_sentinels else "")

    def secrets(self) -> set[str]:
        """The passwords in it, each as it is written and as it is."""
        pairs = [pair.partition("=") for pair in self.query.split("&")]
        written = {self.login.partition(":")[2], *(value for name, _, value in pairs if "password" in name.lower())}
        return {form for word in written if word for form in (word, unquote(word))}
