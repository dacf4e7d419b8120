"""The life of one completion, from what the store remembers of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dispatcher.cli.output import document, facts, table, when
from dispatcher.cli.reach import AsJson, ConfigFile, Reach, reach
from dispatcher.core.errors import UnknownCompletion
from dispatcher.core.models import Fate

if TYPE_CHECKING:
    from dispatcher.store.ledger import Whereabouts

Event = dict[str, Any]


def register(app: typer.Typer) -> None:
    app.command()(trace)


def trace(
    completion_id: Annotated[str, typer.Argument(metavar="COMPLETION_ID")], config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Tell where a completion is and what happened to it. Exit code 1 when the id is unknown.

    Deferrals of its agent while it waited are shown too: they are why it waited.

    \b
    Example:
      wake trace 0192f0c1-7c1e-7d0a-9b1e-0a4b6c1d2e3f
    """
    reached = reach(config)
    found = reached.store.ledger.where(completion_id)
    if found is None:
        raise UnknownCompletion(f"trace completion={completion_id}: never accepted here, or forgotten after its retention; check the id")
    batch_id = _batch_of(reached, found)
    events = _events(reached, found, batch_id)
    head: dict[str, Any] = {
        "completion_id": completion_id,
        "fate": found.fate.value,
        "agent_id": found.agent_id,
        "via": found.via,
        "accepted_at_ms": found.accepted_at_ms,
        "batch_id": batch_id,
    }
    if as_json:
        document(head | {"events": events})
        return
    facts((name.removesuffix("_at_ms").replace("_", " "), when(value) if name.endswith("_ms") else value) for name, value in head.items())
    table(("time", "event", "detail"), [(when(e["at_ms"]), e["what"], _words(e, batch_id)) for e in events])


def _batch_of(reached: Reach, found: Whereabouts) -> str | None:
    match found.fate:
        case Fate.RUNNING:
            return found.detail or None
        case Fate.SETTLED:
            return found.detail.partition("|")[0] or None
        case Fate.DEAD:
            letter = reached.store.ledger.dead_letter(found.completion_id)
            return letter[0].batch_id if letter else None
    return None


def _events(reached: Reach, found: Whereabouts, batch_id: str | None) -> list[Event]:
    events: list[Event] = [{"at_ms": found.accepted_at_ms, "what": "accepted"}]
    if found.agent_id is None:
        return events + _end(reached, found)
    events.append({"at_ms": None, "what": "routed", "agent_id": found.agent_id, "via": found.via})
    if found.fate is Fate.SUPPRESSED:
        return events + _end(reached, found)
    if found.fate is not Fate.ROUTED:
        events.append({"at_ms": found.at_ms if found.fate is Fate.PENDING else None, "what": "deposited", "agent_id": found.agent_id})
    since_ms = found.accepted_at_ms or 0
    newest = reached.config.bounds.ledger_receipts
    records = reached.store.ledger.records(found.agent_id, newest=newest, since_ms=since_ms)
    mine = [r for r in records if _is_about(r, found.completion_id, batch_id)]
    begun_at = next((r["at"] for r in mine if r["what"] == "begun"), None)
    waited = [r for r in records if r["what"] == "deferred" and (begun_at is None or r["at"] <= begun_at)]
    over = begun_at is None and found.fate is not Fate.PENDING
    events += [_event(r) for r in records if r in mine or (not over and r in waited)]
    return events + (_waits(reached, found) if found.fate is Fate.PENDING else _end(reached, found))


def _waits(reached: Reach, found: Whereabouts) -> list[Event]:
    """What its agent waits for now: a deferral that is older than this completion holds it back too."""
    from dispatcher.viewing import state_of

    agent = reached.store.ledger.agent(str(found.agent_id))
    if agent is None:
        return []
    state, reason, until_ms = state_of(agent, reached.store.ledger.now_ms())
    return [{"at_ms": None, "what": "waits", "reason": reason or state, "until_ms": until_ms}]


def _is_about(record: dict[str, Any], completion_id: str, batch_id: str | None) -> bool:
    if batch_id is not None and record["batch"] == batch_id:
        return True
    return isinstance(record["detail"], dict) and record["detail"].get("id") == completion_id


def _event(record: dict[str, Any]) -> Event:
    event: Event = {"at_ms": record["at"], "what": record["what"]}
    if record["batch"]:
        event["batch_id"] = record["batch"]
    if record["token"]:
        event["token"] = int(record["token"])
    detail = record["detail"]
    if record["what"] == "deferred":
        detail = {"deferrals": [{"kind": kind, "until_ms": int(until), "reason": reason} for kind, until, reason in detail or ()]}
    return event | ({"detail": detail} if detail else {})


def _end(reached: Reach, found: Whereabouts) -> list[Event]:
    match found.fate:
        case Fate.SETTLED:
            batch_id, _, outcome = found.detail.partition("|")
            return [{"at_ms": found.at_ms, "what": "settled", "batch_id": batch_id, "outcome": outcome}]
        case Fate.SUPPRESSED | Fate.DROPPED:
            return [{"at_ms": found.at_ms, "what": found.fate.value, "reason": found.detail}]
        case Fate.DEAD:
            letter = reached.store.ledger.dead_letter(found.completion_id)
            at_ms = letter[0].dead_at_ms if letter else found.at_ms
            return [{"at_ms": at_ms, "what": "dead", "reason": found.detail}]
    return []


def _words(event: Event, batch_id: str | None) -> str:
    """What an event says, for people; the batch only where it is another than the one on top."""
    rest = {name: value for name, value in event.items() if name not in ("at_ms", "what", "detail", "token")} | (event.get("detail") or {})
    deferrals = rest.pop("deferrals", ())
    if rest.get("batch_id") == batch_id:
        rest.pop("batch_id", None)
    words = [f"{name}={value}" for name, value in rest.items() if value not in ("", None) and name != "until_ms"]
    if rest.get("until_ms"):
        words.append(f"until {when(rest['until_ms'])}")
    return ", ".join(words + [f"{d['kind']}: {d['reason']} until {when(d['until_ms'])}" for d in deferrals])
