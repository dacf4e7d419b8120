"""docket as a doorbell over a list that we wrote by hand: one execution per agent at a time (ConcurrencyLimit), 250 ms after the first."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from docket import ConcurrencyLimit, Docket, Worker
from redis.asyncio import Redis

from bench.notes import heartbeat
from bench.peers import submitting

URL, WINDOW_S = os.environ["BENCH_URL"], float(os.environ.get("BENCH_WINDOW_S", "0.25"))
client: Redis = Redis.from_url(URL, decode_responses=True)


ONE_AT_A_TIME = ConcurrencyLimit("agent", max_concurrent=1)


async def turn(agent: str, _limit: ConcurrencyLimit = ONE_AT_A_TIME) -> None:
    """Takes what lies in the list; what comes from now on rings again."""
    pipe = client.pipeline(transaction=True)
    pipe.delete(f"bell:{agent}")
    pipe.lrange(f"list:{agent}", 0, -1)
    pipe.delete(f"list:{agent}")
    _, names, _ = await pipe.execute()
    if names:
        await asyncio.to_thread(heartbeat, agent, names)


async def work() -> None:
    async with Docket(name="bench", url=URL) as docket:
        docket.register(turn)
        async with Worker(docket, concurrency=8, minimum_check_interval=timedelta(milliseconds=50)) as worker:
            await worker.run_forever()


async def submit_all() -> None:
    async with Docket(name="bench", url=URL) as docket:
        docket.register(turn)

        async def submit(agent: str, name: str) -> None:
            pipe = client.pipeline(transaction=True)
            pipe.rpush(f"list:{agent}", name)
            pipe.set(f"bell:{agent}", "1", nx=True)
            if (await pipe.execute())[1]:
                when = datetime.now(UTC) + timedelta(seconds=WINDOW_S)
                await docket.add(turn, when=when)(agent)

        loop = asyncio.get_running_loop()

        def wait_for(task: Coroutine[Any, Any, None]) -> None:
            asyncio.run_coroutine_threadsafe(task, loop).result()

        await asyncio.to_thread(submitting.run, lambda agent, name: wait_for(submit(agent, name)))


if __name__ == "__main__":
    import sys

    asyncio.run(work() if sys.argv[1] == "work" else submit_all())
