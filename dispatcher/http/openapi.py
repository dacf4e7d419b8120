"""The OpenAPI document, made from the models: what it says of a field is what is checked."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from dispatcher import __version__
from dispatcher.config import Config
from dispatcher.core.models import ExecCompletion, Intent
from dispatcher.core.wake_request import WakeRequest
from dispatcher.http.problems import MEDIA_TYPE
from dispatcher.http.values import Accepted, BatchAnswer, FateAnswer, Health, Problem, WakeAccepted

Doc = dict[str, Any]
Statuses = dict[int, Doc]
_REF = "#/components/schemas/{model}"
_HIDDEN = ("token", "kind")  # a token comes in the head of the request; the kind is said by the path
_ID_RULE = "Printable ASCII, 1 to 200 characters. Without one it gets one; only with one of your own can a lost answer be asked for again."
_PROBLEMS = {
    400: "The body is no JSON text.",
    401: "There is no token, or it is not valid.",
    403: "The token does not cover the agent that owns it, or does not allow wakes.",
    404: "No such completion.",
    408: "The body did not arrive in time.",
    409: "The id was accepted with another session key or payload; nothing was written.",
    413: "The body is too large.",
    415: "The body is no JSON by its type.",
    422: "It is not usable as it is; the detail names every fault, and nothing was written.",
    429: "The inbox is full, or too many tokens of this address were refused. Retry-After says when to come again.",
    503: "The store does not answer, or too much is asked at once. Repeat it with the same id after Retry-After.",
}
_UNIX_TIME = {"type": "number", "minimum": -62_135_596_800_000, "maximum": 253_402_300_799_999, "description": "Unix time, in s or in ms."}
_WAITS = {"Retry-After": {"description": "s to wait.", "schema": {"type": "string"}}}
_READ = (401, 403, 404, 422, 429, 503)
_WRITE = (400, 401, 403, 408, 409, 413, 415, 422, 429, 503)


def document(config: Config) -> Doc:
    """The whole document of an ingress with this configuration."""
    secured: list[Doc] = [{"token": []}] if config.http.require_token or config.routing.require_token else [{}, {"token": []}]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Wake Dispatcher ingress",
            "version": __version__,
            "summary": "A command ended: wake the one agent that owns it.",
        },
        "paths": _paths(config),
        "security": secured,
        "components": {
            "schemas": _schemas(config),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "`wake token mint`"}},
        },
    }


def _paths(config: Config) -> Doc:
    either = {"anyOf": [_ref("ExecCompletion"), _ref("Batch")]}
    one_or_batch = {"anyOf": [_ref(Accepted), _ref(BatchAnswer)]}
    completions: Statuses = {
        202: _json(one_or_batch, "Durable; in a batch all of them.", _place()),
        200: _json(one_or_batch, "All were accepted before.", _place()),
        207: _json(_ref(BatchAnswer), "A batch of which some were refused: look at each."),
    }
    wakes: Statuses = {202: _json(_ref(WakeAccepted), "Durable.", _place()), 200: _json(_ref(WakeAccepted), "Accepted before.", _place())}
    wait: Doc = {
        "name": "wait",
        "in": "query",
        "schema": {"const": "settled"},
        "description": "Answer when its fate is final, or time is over.",
    }
    until = {"type": "number", "minimum": 0, "maximum": config.http.max_wait_s}
    parameters: list[Doc] = [
        {"name": "completion_id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"}},
        wait,
        {"name": "timeout_s", "in": "query", "schema": until, "description": "s to wait at most; without `wait` it means nothing."},
    ]
    alive: Statuses = {200: _json(_ref(Health), "The process answers.")}
    ready: Statuses = {200: _json(_ref(Health), "A completion would be taken."), 503: _json(_ref(Health), "Not now.", _WAITS)}
    said: Statuses = {200: _json({"type": "object"}, "This document.")}
    return {
        "/v1/completions": {"post": _operation("Report finished execs", completions, _WRITE, body=either, batch=True)},
        "/v1/completions/{completion_id}": {
            "get": _operation("Where it is", {200: _json(_ref(FateAnswer), "Its fate.")}, _READ, parameters)
        },
        "/v1/wakes": {"post": _operation("Ask for a turn", wakes, _WRITE, body=_ref("WakeRequest"))},
        "/healthz": {"get": _operation("Alive", alive) | {"security": []}},
        "/readyz": {"get": _operation("Ready", ready) | {"security": []}},
        "/openapi.json": {"get": _operation("This document", said) | {"security": []}},
    }


def _operation(
    summary: str,
    fine: Statuses,
    refused: tuple[int, ...] = (),
    parameters: list[Doc] | None = None,
    *,
    body: Doc | None = None,
    batch: bool = False,
) -> Doc:
    responses: Doc = {str(status): response for status, response in fine.items()}
    for status in refused:
        content = {MEDIA_TYPE: {"schema": _ref(Problem)}}
        if batch and status not in (400, 401, 408, 413, 415):
            content["application/json"] = {"schema": _ref(BatchAnswer)}  # every completion of a batch was refused alike
        responses[str(status)] = {"description": _PROBLEMS[status], "content": content}
        if status in (429, 503):
            responses[str(status)]["headers"] = _WAITS
    shown: Doc = {"summary": summary, "responses": responses}
    shown |= {"parameters": parameters} if parameters else {}
    return shown | ({"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}} if body else {})


def _schemas(config: Config) -> Doc:
    answers: tuple[type[BaseModel], ...] = (Accepted, WakeAccepted, BatchAnswer, FateAnswer, Health, Problem)
    _, taken = models_json_schema([(ExecCompletion, "validation"), (WakeRequest, "validation")], ref_template=_REF)
    _, given = models_json_schema([(model, "serialization") for model in answers], ref_template=_REF)
    schemas: Doc = given["$defs"] | taken["$defs"]
    for name, id_field in (("ExecCompletion", "completion_id"), ("WakeRequest", "wake_id")):
        schema = schemas[name]
        for hidden in _HIDDEN:
            del schema["properties"][hidden]
        fields = schema["properties"]
        fields[id_field] = {"anyOf": [fields[id_field], {"type": "null"}], "description": _ID_RULE}
        fields["session_key"] |= {"maxLength": 512, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}
        for moment in ("started_at", "finished_at"):
            if moment in fields:
                fields[moment]["anyOf"].append(dict(_UNIX_TIME))
        schema.pop("required", None)
    del schemas["Intent"]  # it has one that nobody may ask for
    schemas["WakeRequest"]["properties"]["intent"] = {"enum": [i.value for i in Intent if i is not Intent.SCHEDULED], "default": "manual"}
    schemas["ExecCompletion"]["not"] = {"required": ["completions"]}
    schemas["Batch"] = {
        "type": "object",
        "properties": {"completions": {"type": "array", "minItems": 1, "maxItems": config.http.max_batch, "items": _ref("ExecCompletion")}},
        "required": ["completions"],
        "additionalProperties": False,
    }
    return schemas


def _ref(model: type[BaseModel] | str) -> Doc:
    return {"$ref": _REF.format(model=model if isinstance(model, str) else model.__name__)}


def _json(schema: Doc, description: str, headers: Doc | None = None) -> Doc:
    shown: Doc = {"description": description, "content": {"application/json": {"schema": schema}}}
    return shown | ({"headers": headers} if headers else {})


def _place() -> Doc:
    return {"Location": {"description": "Where its fate is told; not for a batch.", "schema": {"type": "string"}}}
