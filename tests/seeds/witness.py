"""What a simulation holds true, from the answers of all steps and from pictures of the state; independent of the store's own books."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dispatcher.store.handoffs import MARK
from dispatcher.store.keys import Keys
from dispatcher.store.ledger import Ledger
from dispatcher.store.scripts import Call, Reply
from tests.seeds.picture import Picture
from tests.seeds.reference import Turns
from tests.support.store_state import SEP, assert_sound

ENDED = {"SETTLED": "settled", "BURIED": "buried", "DISSOLVED": "dissolved"}
TURNED = frozenset({"BEGUN", "RENEWED", "CANCEL", "CANCEL_RETRY", "DEFERRED", "SETTLED", "PARKED", "DISSOLVED", "BURIED", "TICKED"})


class Witness:
    """Sees every answer (`saw`) and every state (`look`); raises AssertionError when something is not as it must be."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self.words: Counter[str] = Counter()  # "step WORD" -> how often
        self.accepted: set[str] = set()
        self.fates: dict[str, str] = {}  # id -> its final fate, as answered
        self.turns: defaultdict[str, Turns] = defaultdict(Turns)
        self.told: dict[str, tuple[str, ...]] = {}  # batch -> its completions, as its first heartbeat was told
        self.frozen: dict[str, tuple[str, ...]] = {}  # batch -> its members, as they lay there first
        self.begun_at: dict[tuple[str, int], int] = {}
        self._nonces: dict[str, tuple[str, str]] = {}
        self._wrong: AssertionError | None = None
        self.cancelled: set[str] = set()  # batches that were cancelled for good while they ran
        self._handed: dict[str, str] = {}  # completion -> the agent whose letter stands for a wake that is deposited elsewhere already
        self.rebindable: set[str] = set()  # letters that an agent has of completions whose key is bound
        self.now_ms: Callable[[], int] = lambda: 0

    # Answers

    def saw(self, call: Call, reply: Reply) -> None:
        """Of one call. What it finds wrong it also keeps, for `look`: the code that called might swallow it."""
        try:
            self._saw(call, reply)
        except AssertionError as error:
            self._wrong = error
            raise

    def _saw(self, call: Call, reply: Reply) -> None:
        self.words[f"{call.script} {reply.status}"] += 1
        args, agent = call.args, str(call.args.get("agent", ""))
        turns = self.turns[agent]
        if call.script == "submit":
            for (completion_id, *_), (status, *_) in zip(json.loads(str(args["page"])), json.loads(reply.rest[1]), strict=True):
                self.words[f"submit {status}"] += 1
                if status == "ACCEPTED":
                    self._accept(completion_id)
        elif reply.status in ("SUPPRESSED", "DROPPED"):
            self._end(str(args["id"]), reply.status.lower())
        elif reply.status == "LEASED":
            self._leased(turns, agent, int(reply.rest[0]), (str(args["holder"]), str(args["nonce"])))
        elif reply.status in TURNED and "token" in args:
            token = int(args["token"])
            turns.under(token, f"{call.script} of {agent} answered {reply.status}")
            self._turned(turns, call, reply, token)
        elif reply.status == "CANCELLING" and not args["retry"]:
            self.cancelled.add(str(args["batch"]))
        elif call.script == "deposit" and reply.status in ("DEPOSITED", "MAILBOX_FULL") and str(args["entry"]).startswith(MARK):
            self._handed[str(args["id"])] = str(args["entry"]).split(":")[1]
        elif reply.status == "TAKEN":
            self._handed.pop(str(args["id"]), None)
        elif call.script == "move" and reply.status == "MOVED" and turns.running:
            turns.taken_over(turns.running, turns.token)

    def _leased(self, turns: Turns, agent: str, token: int, by: tuple[str, str]) -> None:
        if token == turns.token:
            assert self._nonces[agent] == by, f"{agent}: token {token} was given to {self._nonces[agent]} and to {by}"
            return
        if turns.running:
            turns.taken_over(turns.running, turns.token)
        turns.leased(token)
        self._nonces[agent] = by

    def _turned(self, turns: Turns, call: Call, reply: Reply, token: int) -> None:
        batch, agent = str(call.args.get("batch", "")), str(call.args["agent"])
        if reply.status == "BEGUN":
            if turns.running == batch:
                return  # its answer was lost, and it is asked again
            assert batch not in self.cancelled, f"{batch} was cancelled for good, and begins again"
            meta = json.loads(reply.rest[0])
            turns.begun(batch, token, meta["n"], meta["session"], meta["attempt"])
            told = tuple(json.loads(wake)["wake_id"] for wake in reply.rest[1])
            first = self.told.setdefault(batch, told)
            assert first == told, f"{batch} was about {first}, and is about {told}"
            self.begun_at[agent, token] = self.now_ms()
        elif reply.status == "PARKED":
            turns.parked(batch, token, str(call.args["kind"]))
        elif reply.status in ENDED:
            turns.closed(batch, token, "dead-lettered" if reply.status == "BURIED" else ENDED[reply.status])
            for completion_id in self.told[batch] if reply.status == "SETTLED" else ():
                self._end(completion_id, "settled")
        elif reply.status == "TICKED" and reply.rest[0]:
            self._accept(str(call.args["id"]))

    def _accept(self, completion_id: str) -> None:
        if completion_id.startswith("tick:"):
            self.fates.pop(completion_id, None)  # the wall clock may go back and bring the same tick again
        assert completion_id not in self.fates, f"{completion_id} is accepted again after it was {self.fates[completion_id]}"
        self.accepted.add(completion_id)

    def _end(self, completion_id: str, how: str) -> None:
        assert completion_id not in self.fates, f"{completion_id} is {how}, and was {self.fates[completion_id]} already"
        assert completion_id in self.accepted, f"{completion_id} is {how}, and was never accepted"
        self.fates[completion_id] = how

    # States

    def look(self, client: Any) -> Picture:
        """The whole state now. Raises AssertionError."""
        if self._wrong:
            raise self._wrong
        picture = Picture(client)
        assert_sound(picture, self._keys)
        self.rebindable = set()
        held: Counter[str] = Counter()
        dead: Counter[str] = Counter()
        for key, agent in self._agents(picture):
            self._look_at(picture, key, agent, held)
            letters = picture.hkeys(key["dead"])
            self.rebindable.update(one for one in letters if not owner_of(one))
            dead.update(one for one in letters if self._handed.get(one) != agent)
        inbox = {fields["id"] for _, fields in picture.xrange(self._keys.inbox["stream"])}
        dead.update(picture.hkeys(self._keys.inbox["dead"]))
        twice = [one for one, n in (held + dead).items() if n > 1]
        assert not twice, f"{twice} wait, run or are dead in two places"
        lost = [one for one in self.accepted if one not in self.fates and not (held[one] or dead[one] or one in inbox)]
        assert not lost, f"accepted and nowhere: {sorted(lost)}"
        again = [one for one in self.fates if held[one] or dead[one]]
        assert not again, f"over, and here again: {[(one, self.fates[one]) for one in again]}"
        strange = [one for one in [*held, *dead, *inbox] if one not in self.accepted]
        assert not strange, f"never accepted: {strange}"
        balance = Ledger(picture, self._keys).balance()
        assert balance.balance == 0, f"the books do not balance: {balance}"
        return picture

    def _agents(self, picture: Picture) -> Iterator[tuple[Mapping[str, str], str]]:
        for slot in range(self._keys.slots):
            known = self._keys.slot(slot)
            for agent in picture.hgetall(known["homes"]):
                for pool in picture.smembers(known["pools"]):
                    yield self._keys.agent(pool, agent), agent

    def _look_at(self, picture: Picture, key: Mapping[str, str], agent: str, held: Counter[str]) -> None:
        batches: defaultdict[str, list[str]] = defaultdict(list)
        for member in picture.zrange(key["frozen"], 0, -1):
            batches[member.split(SEP)[0]].append(member)
        for batch, members in batches.items():
            first = self.frozen.setdefault(batch, tuple(members))
            assert first == tuple(members), f"batch {batch} changed from {first} to {members}"
            held.update(member.split(SEP)[4] for member in members)
        waiting = [member.split(SEP) for member in picture.zrange(key["mailbox"], 0, -1)]
        held.update(member[4] for member in waiting)
        sessions = {member[1] for member in waiting} | {json.loads(raw)["session"] for raw in picture.hgetall(key["batches"]).values()}
        here = [member[4] for member in waiting] + [m.split(SEP)[4] for members in batches.values() for m in members]
        foreign = [session for session in sessions if session.split(":")[1] != agent]
        foreign += [one for one in [*here, *picture.hkeys(key["dead"])] if owner_of(one) not in (agent, "")]
        assert not foreign, f"{agent} has what is another's: {foreign}"


def owner_of(completion_id: str) -> str:
    """Whose a completion is by its id; nothing for one whose key has to be bound."""
    owner = completion_id.split(":")[1] if completion_id.startswith("tick:") else completion_id.partition("-")[0]
    return "" if owner == "free" else owner
