"""Parts of the ingress that need no server: the limit on refused tokens, addresses, and the document."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.config import Config
from dispatcher.http.app import make_app
from dispatcher.http.authentication import MAX_PEERS, FailureLimit
from dispatcher.http.openapi import document
from dispatcher.http.serve import is_loopback


def test_failures_are_counted_by_peer_and_forgotten_after_the_window() -> None:
    limit = FailureLimit(2, 60)
    assert [limit.failed("a", at_s) for at_s in (0.0, 10.0, 20.0)] == [None, None, 40.0]
    assert limit.failed("b", 20.0) is None
    assert limit.failed("a", 60.0) is None
    assert limit.failed("a", 61.0) is None
    assert limit.failed("a", 62.0) == 58.0


def test_the_count_takes_bounded_memory() -> None:
    limit = FailureLimit(2, 60)
    for n in range(MAX_PEERS + 100):
        limit.failed(f"peer-{n}", 0.0)
    assert len(limit) == MAX_PEERS


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.example", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        return {node["$ref"]} if "$ref" in node else set().union(*map(references, node.values()), set())
    return set().union(*map(references, node), set()) if isinstance(node, list) else set()


def test_the_document_names_every_route_and_only_what_it_defines() -> None:
    shown = document(Config())
    routes = {route.path.replace(":path", ""): route.methods - {"HEAD"} for route in make_app(Config()).state.ingress.routes()}
    assert {path: {name.upper() for name in item} for path, item in shown["paths"].items()} == routes
    defined = set(shown["components"]["schemas"])
    assert references(shown) == {f"#/components/schemas/{name}" for name in defined}
    assert "token" not in shown["components"]["schemas"]["ExecCompletion"]["properties"]


def test_the_document_says_whether_tokens_are_asked_for() -> None:
    assert document(Config())["security"] == [{"token": []}]
    assert {} in document(Config.model_validate({"http": {"require_token": False}}))["security"]
