"""What can be done from `wake top` to the agent that is selected. Each answer is a line for people."""

from __future__ import annotations

from dispatcher.cancelling import Cancelling
from dispatcher.cli.asking import by
from dispatcher.cli.explaining import told
from dispatcher.cli.reach import Reach
from dispatcher.cli.waking import owner_of, request_turn
from dispatcher.core.rules import PAUSED
from dispatcher.explaining import Explainer
from dispatcher.holding import Holding
from dispatcher.viewing import AgentRow


class TopActs:
    """Raises WakeError, whose words are for people too. Slow: it asks the server."""

    def __init__(self, reached: Reach) -> None:
        self._reached = reached
        self._holding = Holding(reached.store, reached.config, reached.doorbell())

    def explain(self, row: AgentRow) -> list[str]:
        """What `wake explain` says."""
        return told(Explainer(self._reached.store, self._reached.config).agent(row.agent_id))

    def pause(self, row: AgentRow, reason: str) -> str:
        self._holding.hold(self._holding.bound(row.agent_id), PAUSED, reason or "by hand", by())
        return f"paused: {row.agent_id}; what runs may finish"

    def resume(self, row: AgentRow) -> str:
        """Lifts the hold of just this agent."""
        self._holding.resume(self._holding.bound(row.agent_id), by())
        return f"resumed: {row.agent_id}"

    def wake(self, row: AgentRow, text: str) -> str:
        owner = owner_of(self._reached.config, row.agent_id, "")
        receipt = request_turn(self._reached, owner, text=text)
        return f"accepted: {receipt.completion_id} for {owner.session_key}"

    def cancel(self, row: AgentRow, reason: str) -> str:
        """The heartbeat that was on the screen, and no later one."""
        if not row.batch_id:
            return f"nothing of {row.agent_id} ran when it was last looked at"
        acts = Cancelling(self._reached.store, self._reached.config)
        ((running, status),) = acts.cancel(acts.targets(row.agent_id, row.batch_id), by(), reason, retry=False)
        return f"cancel {running.batch_id}: {status.lower().replace('_', ' ')}"
