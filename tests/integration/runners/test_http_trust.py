"""Whom the http runner trusts, and where its secret lies: certificates, secrets replaced, missing or none, and what is never said."""

from __future__ import annotations

import base64
import logging
import ssl
from pathlib import Path

import pytest
import trustme
from standardwebhooks.webhooks import Webhook

from dispatcher.config.credential import Credential
from dispatcher.core.models import Failed, Ran
from tests.support.receiver import Receiver, Reply, answering
from tests.support.requests import request
from workers.runners import Control, RunResult
from workers.runners.http import HttpRunner

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(1, 33))).decode()


def runner(url: str, secret: str = SECRET, ca_file: str | None = None) -> HttpRunner:
    return HttpRunner(url, Credential(plain=secret), ca_file)


def run(url: str, ca_file: str | None = None) -> RunResult:
    return runner(url, ca_file=ca_file).run(request(), Control(60))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_for(authority: trustme.CA, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    return context


def test_tls_is_verified(authority: trustme.CA, tmp_path: Path) -> None:
    """A stranger's certificate and one for another host are refused before anything of the request is sent."""
    trusted = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with Receiver(answering(Reply()), tls=tls_for(authority, "127.0.0.1")) as receiver:
        unknown = run(receiver.url)
        assert isinstance(unknown, Failed)
        assert "certificate" in unknown.error.lower()
        assert not receiver.got
        assert run(receiver.url, ca_file=str(trusted)) == Ran()
        broken = tmp_path / "none.pem"
        assert isinstance(run(receiver.url, ca_file=str(broken)), Failed)
        broken.write_text("no certificate")
        assert isinstance(run(receiver.url, ca_file=str(broken)), Failed)
    with Receiver(answering(Reply()), tls=tls_for(authority, "example.test")) as receiver:
        assert isinstance(run(receiver.url, ca_file=str(trusted)), Failed)
        assert not receiver.got


def test_the_secret_is_read_anew_for_each_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    with Receiver(answering(Reply())) as receiver:
        by_file, by_env = HttpRunner(receiver.url, Credential(file=str(file))), HttpRunner(receiver.url, Credential(env="HOOK_SECRET"))
        for secret in (SECRET, OTHER_SECRET):
            file.write_text(f"{secret}\n")
            monkeypatch.setenv("HOOK_SECRET", secret)
            for one in (by_file, by_env):
                assert one.run(request(), Control(60)) == Ran()
                Webhook(secret).verify(receiver.got[-1].body, dict(receiver.got[-1].headers))


def test_a_secret_that_is_missing_or_none_fails_the_heartbeat_and_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    (tmp_path / "empty").write_text("\n \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    wrong = [
        (Credential(file=str(tmp_path / "none")), "cannot be read"),
        (Credential(file=str(tmp_path / "empty")), "no secret in the file"),
        (Credential(file=str(tmp_path / "binary")), "is not text"),
        (Credential(env="HOOK_SECRET"), "HOOK_SECRET"),
        (Credential(plain="hunter2"), "24 to 64 bytes"),
        (Credential(plain="whsec_" + base64.b64encode(b"short").decode()), "24 to 64 bytes"),
        (Credential(plain="whsec_not/base64!" + "x" * 40), "24 to 64 bytes"),
    ]
    with Receiver(answering(Reply())) as receiver:
        for secret, why in wrong:
            result = HttpRunner(receiver.url, secret).run(request(), Control(60))
            assert isinstance(result, Failed)
            assert why in result.error
            assert not result.final
    assert not receiver.got


def test_the_secret_is_said_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    said = ""
    for secret in (SECRET, "hunter2hunter2"):
        with Receiver(answering(Reply(400, b"no"), Reply(500))) as receiver:
            made = runner(receiver.url, secret)
            said += repr(made) + "".join(repr(made.run(request(), Control(60))) for _ in range(2))
    said += caplog.text
    assert SECRET not in said
    assert SECRET.removeprefix("whsec_") not in said
    assert "hunter2" not in said
