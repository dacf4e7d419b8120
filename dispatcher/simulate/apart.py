"""One simulation on several processors: agents that share no bound are simulated apart, each part on a private server of its own.

The course is the same as of one part, for all that is random is random by agent. Where agents turn out to share a bound after all
(places, the release of what is late), the parts are given up and everything is simulated as one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, replace
from multiprocessing.connection import Connection, wait
from typing import Any

from dispatcher.config import Config
from dispatcher.core.errors import WakeError
from dispatcher.simulate.arrivals import HOUR_MS
from dispatcher.simulate.course import Course, NotApart, Plan, Progress, simulate
from dispatcher.simulate.history import History
from dispatcher.store.books import Balance

WORTH_IT = 400  # completions, or hours of agents, below which starting another process costs more than it saves


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parts_of(plan: Plan, config: Config, at_most: int) -> list[Plan]:
    """The plan in as many parts as are worth it; one where agents share a bound from the start, or all workers go away at a time."""
    pools = {config.pool_of(agent_id) for agent_id in plan.agents}
    shared = plan.workers or plan.outages or config.caps.max_running or any(config.pool(pool).max_running for pool in pools)
    size = max(len(plan.arrivals), len(plan.agents) * plan.duration_ms // HOUR_MS)
    count = 1 if shared else min(at_most, len(plan.agents), 1 + size // WORTH_IT)
    if count == 1:
        return [plan]
    own = [plan.agents[first::count] for first in range(count)]
    members = [frozenset(agents) for agents in own]
    return [
        replace(plan, agents=agents, arrivals=[arrival for arrival in plan.arrivals if arrival.agent_id in here])
        for agents, here in zip(own, members, strict=True)
    ]


def simulate_apart(plan: Plan, config: Config, at_most: int, on_progress: Progress = lambda _ms: None) -> Course:
    """As `simulate`, on up to so many processors. Raises WakeError when a part ends without an answer."""
    parts = parts_of(plan, config, at_most)
    if len(parts) > 1:
        with suppress(NotApart):
            return _together(plan, _answers(parts, config, on_progress))
    return simulate(plan, config, on_progress)


def _answers(parts: Sequence[Plan], config: Config, on_progress: Progress) -> list[Course]:
    # Forked children would share the caller's threads, locks and connections; these are started anew.
    context = multiprocessing.get_context("spawn")
    links: dict[Connection, int] = {}
    children = []
    try:
        for number, part in enumerate(parts):
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(target=_simulate_part, args=(part, config, theirs), daemon=True)
            child.start()
            theirs.close()
            links[ours] = number
            children.append(child)
        return _gathered(parts, links, on_progress)
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.join()


def _gathered(parts: Sequence[Plan], links: dict[Connection, int], on_progress: Progress) -> list[Course]:
    courses: dict[int, Course] = {}
    reached = [part.start_ms for part in parts]
    while len(courses) < len(parts):
        for link in wait([link for link, number in links.items() if number not in courses]):
            assert isinstance(link, Connection)
            number = links[link]
            match _heard(link):
                case int(at_ms):
                    reached[number] = at_ms
                    on_progress(min(reached))
                case Exception() as error:
                    raise error
                case (history, balance, dead):
                    courses[number] = Course(parts[number], history, balance, dead)
                    reached[number] = parts[number].end_ms
    return [courses[number] for number in range(len(parts))]


def _heard(link: Connection) -> Any:
    try:
        return link.recv()
    except EOFError:
        return WakeError("simulate: a part of the simulation ended without an answer; its last words stand above, run it again")


def _simulate_part(plan: Plan, config: Config, link: Connection) -> None:
    """In a process of its own. Whoever ends it lets it clear away its server first; Ctrl-C is the parent's to hear."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with suppress(BrokenPipeError):  # the parent is gone, and nobody asks any more
        try:
            course = simulate(plan, config, link.send, alone=False)
        except WakeError as error:
            link.send(error)
        else:
            link.send((course.history, course.balance, course.dead))


def _together(plan: Plan, courses: Sequence[Course]) -> Course:
    told = [course.history for course in courses]
    history = History(
        arrivals=sorted((one for history in told for one in history.arrivals), key=lambda arrival: arrival[1]),
        beats=sorted((beat for history in told for beat in history.beats), key=lambda beat: beat.started_ms),
        delays=sorted((delay for history in told for delay in history.delays), key=lambda delay: delay.from_ms),
        waits=[one for history in told for one in history.waits],
    )
    balance = Balance(*(sum(counts) for counts in zip(*(astuple(course.balance) for course in courses), strict=True)))
    return Course(plan, history, balance, [letter for course in courses for letter in course.dead])
