"""What a token allows: to report for some agents, and, if it says so, to ask for their wakes."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Grant:
    """Agents by exact id or pattern (`lab-*`); none of them is everybody."""

    agents: tuple[str, ...]
    wakes: bool

    def covers(self, agent_id: str) -> bool:
        """Whether it names this agent, given in lower case."""
        return any(fnmatchcase(agent_id, selector) for selector in self.agents)


def selector_problem(selector: str) -> str | None:
    """What is wrong with an agent or pattern in a token, or None. A pattern that matches whatever it is given is refused."""
    if not selector.isascii() or selector != selector.lower() or not 1 <= len(selector) <= 64:
        return "must be an agent id or a pattern in lower case, at most 64 characters"
    if not all(c.isalnum() or c in "_-*?" for c in selector):
        return "only * and ? are wild; an agent id has letters, digits, _ and -"
    return None if selector[0].isalnum() else "must begin with a letter or a digit: a token names its agents, it is never for everybody"
