"""Which heartbeat a line belongs to: ids that every line said inside it carries, whoever says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

SHOWN_COMPLETIONS = 5
Ids = Mapping[str, object]

_NOTHING: Ids = MappingProxyType({})
_current: ContextVar[Ids] = ContextVar("wake_log_ids", default=_NOTHING)


def current_ids() -> Ids:
    """The ids of the heartbeat that runs in this thread (or in the context that this code was given); empty outside of one.

    A thread that a runner's function starts has them only if it is started with `contextvars.copy_context().run`.
    """
    return _current.get()


@contextmanager
def about(**ids: object) -> Iterator[None]:
    """Lines said inside carry these ids as well; afterwards everything is as before, also what `also` added."""
    token = _current.set({**_current.get(), **ids})
    try:
        yield
    finally:
        _current.reset(token)


def also(**ids: object) -> None:
    """Ids that became known, from here to the end of the enclosing `about`."""
    _current.set({**_current.get(), **ids})


def shown(completion_ids: Sequence[str]) -> list[str]:
    """The first few: a batch may have thousands, and the trace of each tells its batch."""
    return list(completion_ids[:SHOWN_COMPLETIONS])
