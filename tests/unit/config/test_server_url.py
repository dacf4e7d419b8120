"""The URL of the server: what its parts mean, what is refused, what may be shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dispatcher.config import Config, RedisSettings, load
from dispatcher.config.server_url import ServerUrl
from dispatcher.core.errors import ConfigError

WATCHED = "sentinel://me:p%40ss@a:1,[::1]:2,c/3?master=wake&sentinel_username=s&sentinel_password=x%2Fy"


def test_sentinels_and_what_they_watch() -> None:
    url = ServerUrl.parse(WATCHED)
    assert url.by_sentinels
    assert url.hosts == [("a", 1), ("::1", 2), ("c", 26379)]
    assert (url.master, url.database, url.user, url.password) == ("wake", 3, "me", "p@ss")
    assert str(url) == WATCHED
    assert url.shown() == "sentinel://a:1,[::1]:2,c:26379/3?master=wake"
    assert url.masked() == "sentinel://me:***@a:1,[::1]:2,c/3?master=wake&sentinel_username=s&sentinel_password=***"
    assert url.secrets() == {"p%40ss", "p@ss", "x%2Fy", "x/y"}
    assert "p%40ss" not in repr(url)
    assert "x%2Fy" not in repr(url)


@pytest.mark.parametrize(
    ("text", "hosts", "database", "user", "password", "shown"),
    [
        ("redis://h", [("h", 6379)], 0, "", "", "redis://h:6379"),
        ("redis://u:p@h:1/2", [("h", 1)], 2, "u", "p", "redis://h:1/2"),
        ("rediss://:p%2F@h?db=4", [("h", 6379)], 4, "", "p/", "rediss://h:6379"),
        ("unix:///run/a%20b?db=1&username=u&password=p", [], 1, "u", "p", "unix:/run/a b"),
    ],
)
def test_a_server_or_a_socket(text: str, hosts: list[tuple[str, int]], database: int, user: str, password: str, shown: str) -> None:
    url = ServerUrl.parse(text)
    assert (url.hosts, url.database, url.user, url.password, url.shown()) == (hosts, database, user, password, shown)
    assert (url.by_sentinels, url.master, str(url)) == (False, "", text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("sentinel://hunter@a:1/0", "must name what the sentinels watch"),
        ("sentinel://:hunter@a:1,:2/0?master=m", "has no usable port"),
        ("sentinel://:hunter@a:1,b:x/0?master=m", "has no usable port"),
        ("sentinel://:hunter@a:0/0?master=m", "has no usable port"),
        ("sentinel://:hunter@a/x?master=m", "must end with the number of a database"),
        ("sentinel://:hunter@a/0?master=m&ssl_ca_certs=hunter", "has 1 unknown options; a sentinel:// URL knows db, master,"),
        ("sentinels://:hunter@a/0?master=m", "must have the form redis://"),
    ],
)
def test_what_is_refused_is_said_without_the_password(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault) as refused:
        ServerUrl.parse(text)
    assert "hunter" not in str(refused.value)


def test_the_passwords_of_the_server_and_of_the_sentinels_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "server").write_text("p@ss\n")
    (tmp_path / "sentinel").write_text("x/y\n")
    file = tmp_path / "wake.toml"
    table = '[redis]\nurl = "sentinel://me@a,b/0?master=m"\npassword_file = "server"\nsentinel_password_file = "sentinel"\n'
    file.write_text(table)
    assert load(file, env={}).redis_url() == "sentinel://me:p%40ss@a,b/0?master=m&sentinel_password=x%2Fy"
    found = load(file, env={"WAKE_REDIS_SENTINEL_PASSWORD": "z"}).redis_url()
    assert found == "sentinel://me:p%40ss@a,b/0?master=m&sentinel_password=z"
    (tmp_path / "sentinel").unlink()
    with pytest.raises(ConfigError, match="sentinel cannot be read"):
        load(file, env={}).redis_url()


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({"url": "redis://a", "sentinel_password": "x"}, "sentinel_password is for sentinels"),
        ({"sentinel_password_file": "x"}, "sentinel_password is for sentinels"),
        ({"url": "sentinel://a?master=m&sentinel_password=y", "sentinel_password": "x"}, "more than one sentinel_password"),
        ({"url": "sentinel://a?master=m", "ca_file": "x"}, "ca_file is for a server with TLS"),
    ],
)
def test_what_does_not_fit_the_url_is_refused(said: dict[str, str], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        RedisSettings.model_validate(said)


def test_no_password_is_in_the_printed_form() -> None:
    assert "hunter" not in repr(Config.model_validate({"redis": {"url": "sentinel://a?master=m", "sentinel_password": "hunter"}}))
