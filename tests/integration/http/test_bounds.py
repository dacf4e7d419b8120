"""What a client cannot do to the ingress, and what it is told when something is full or away."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.support.gates import wait_until
from tests.support.gateway import PATIENCE_S
from tests.support.ingress import AGENTS, Ingress, problem
from tests.support.server import Server

ONE = {"completion_id": "c1", "session_key": "agent:ops:main", "exit_code": 1}


def test_a_body_has_a_bound_whatever_it_says_of_itself(start: Callable[..., Ingress]) -> None:
    ingress = start("max_body_bytes = 1024").ready()
    large = json.dumps(ONE | {"output": "x" * 2000})
    answer = ingress.post("completions", large)
    assert (answer.status, problem(answer)) == (413, "too-large")
    connection = ingress.connection()
    headers = {"Authorization": f"Bearer {ingress.token()}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/completions", iter([large[:700].encode(), large[700:].encode()]), headers, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()
    assert ingress.post("completions", ONE).status == 202


def test_a_body_has_a_type(ingress: Ingress) -> None:
    """A page in a browser cannot send this type to us without asking first."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = ingress.post("completions", ONE, headers={"Content-Type": kind})
        assert (answer.status, problem(answer)) == (415, "not-json")
    assert ingress.post("completions", ONE, headers={"Content-Type": "application/json; charset=utf-8"}).status == 202


def cut_off(connection: socket.socket) -> bool:
    """Whether one more byte finds the connection closed."""
    try:
        connection.sendall(b"x")
    except OSError:
        return True
    return False


def test_a_head_that_drips_is_cut_off(start: Callable[..., Ingress]) -> None:
    """And so is a connection that says nothing at all. Each byte is in time for itself."""
    ingress = start("header_timeout_s = 1").ready()
    with ingress.socket() as silent, ingress.socket() as dripping:
        dripping.sendall(b"GET /healthz HTTP/1.1\r\n")
        wait_until(lambda: cut_off(dripping), PATIENCE_S, "the dripping head is cut off", every_s=0.1)
        assert silent.recv(100) == b""
    assert ingress.ask("GET", "/healthz").status == 200


def test_a_body_that_drips_is_cut_off(start: Callable[..., Ingress]) -> None:
    ingress = start("body_timeout_s = 1").ready()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ingress.token()}\r\nContent-Type: application/json\r\n"
    with ingress.socket() as slow:
        slow.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_body_that_nobody_wants_is_not_waited_for(start: Callable[..., Ingress]) -> None:
    """Refused for its token, and then slow with the rest."""
    ingress = start("header_timeout_s = 1").ready()
    with ingress.socket() as slow:
        slow.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        assert slow.recv(4000).startswith(b"HTTP/1.1 401 ")
        wait_until(lambda: cut_off(slow), PATIENCE_S, "the rest is not waited for", every_s=0.1)


def test_connections_beyond_the_bound_are_refused_like_anything_else(start: Callable[..., Ingress]) -> None:
    """A problem with a time to come again; those within the bound are served meanwhile, and a place that is free is taken."""
    ingress = start("max_connections = 2\nheader_timeout_s = 60\nkeep_alive_s = 60").ready()
    served = [ingress.connection() for _ in range(2)]
    for connection in served:
        connection.request("GET", "/healthz")
        assert connection.getresponse().read() == b'{"status":"alive"}'
    answer = ingress.post("completions", ONE)
    assert (answer.status, problem(answer), answer.headers["retry-after"]) == (503, "overloaded", "1")
    assert answer.headers["connection"] == "close"
    served[0].request("GET", "/healthz")
    assert served[0].getresponse().read() == b'{"status":"alive"}'
    served[0].close()
    wait_until(lambda: ingress.post("completions", ONE).status == 202, PATIENCE_S, "the free place is taken")
    served[1].close()


def test_a_full_inbox_says_when_to_come_again(start: Callable[..., Ingress]) -> None:
    ingress = start("", AGENTS + "[bounds]\nmax_inbox = 1\n").ready()
    assert ingress.ask("GET", "/readyz").status == 200
    assert ingress.post("completions", ONE).status == 202
    answer = ingress.post("completions", ONE | {"completion_id": "c2"})
    assert (answer.status, problem(answer), answer.headers["retry-after"]) == (429, "inbox-full", "5")
    answer = ingress.post("completions", {"completions": [ONE, ONE | {"completion_id": "c2"}]})
    assert (answer.status, answer.headers["retry-after"]) == (207, "5")
    assert [result["status"] for result in answer.body["results"]] == [200, 429]
    assert ingress.ask("GET", "/readyz").status == 503
    ingress.route()
    assert ingress.post("completions", ONE | {"completion_id": "c2"}).status == 202


def test_a_server_that_is_away(start: Callable[..., Ingress], server: Server) -> None:
    """503 with a time to come again, at once or when it hangs; the same ids afterwards. Alive all the while."""
    ingress = start("threads = 2\nmax_queued = 2", AGENTS + "[redis]\nsocket_timeout_ms = 1000\n").ready()
    assert ingress.ask("GET", "/readyz").status == 200
    server.kill()
    answer = ingress.post("completions", {"session_key": "agent:ops:main"})
    assert (answer.status, problem(answer), answer.headers["retry-after"]) == (503, "store-unavailable", "2")
    assert answer.body["completion_id"], "what to repeat it with"
    assert server.url.partition("?")[0].removeprefix("unix://") not in answer.body["detail"]
    assert ingress.ask("GET", "/readyz").status == 503
    assert ingress.ask("GET", "/healthz").status == 200
    server.start()
    assert ingress.post("completions", ONE).status == 202
    server.freeze()
    try:
        with ThreadPoolExecutor(12) as crowd:
            asked = [crowd.submit(ingress.post, "completions", ONE) for _ in range(12)]
            assert ingress.ask("GET", "/healthz").status == 200, "the loop does not wait for the server"
            found = [answer.result() for answer in asked]
        assert {answer.status for answer in found} == {503}
        assert {problem(answer) for answer in found} == {"overloaded", "store-unavailable"}
        assert all(answer.headers["retry-after"] for answer in found)
    finally:
        server.thaw()
    wait_until(lambda: ingress.post("completions", ONE).status == 200, PATIENCE_S, "it is taken again")


def test_a_listening_ingress_needs_no_server_to_begin_with(start: Callable[..., Ingress], server: Server) -> None:
    server.stop()
    ingress = start().ready()
    assert ingress.ask("GET", "/healthz").status == 200
    assert ingress.ask("GET", "/readyz").status == 503
    assert ingress.post("completions", ONE).status == 503
    server.start()
    assert ingress.post("completions", ONE).status == 202


def test_a_store_of_another_layout_is_not_touched(start: Callable[..., Ingress]) -> None:
    first = start().ready()
    assert first.post("completions", ONE).status == 202
    other = start("", AGENTS + "[redis]\nslots = 8\n").ready()
    answer = other.post("completions", ONE | {"completion_id": "c2"})
    assert (answer.status, problem(answer)) == (503, "not-ready")
    assert other.ask("GET", "/readyz").status == 503
    assert first.store.ledger.inbox_depth() == 1


def test_too_many_refused_tokens(start: Callable[..., Ingress]) -> None:
    """429 from then on, but for a valid one: on loopback everybody has the same address."""
    ingress = start("auth_failures = 3").ready()
    answers = [ingress.post("completions", ONE, token="wrong") for _ in range(5)]
    assert [answer.status for answer in answers] == [401, 401, 401, 429, 429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 60
    assert problem(answers[-1]) == "too-many-failures"
    assert ingress.post("completions", ONE).status == 202


def test_keys_rotate_under_a_running_ingress(start: Callable[..., Ingress]) -> None:
    ingress = start().ready()
    old = ingress.token("ops")
    before = ingress.keys.read_text()
    ingress.keys.write_text("wk_" + "c2VjcmV0" * 6 + "\n" + before)
    assert ingress.post("completions", ONE, token=old).status == 202
    assert ingress.post("completions", ONE, token=ingress.token("ops")).status == 200
    ingress.keys.write_text("wk_" + "c2VjcmV0" * 6 + "\n")
    assert ingress.post("completions", ONE, token=old).status == 401
