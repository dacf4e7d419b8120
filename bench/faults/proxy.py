"""A TCP proxy that can delay, stall, and cut connections in the middle of a reply. One thread with a loop of its own."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import suppress


class Proxy:
    """Listens on a loopback port and passes on to another one. The faults are attributes, in force at once."""

    def __init__(self, to_port: int, seed: int) -> None:
        self.delay_s = 0.0  # added to each piece of a reply
        self.cut_share = 0.0  # of the pieces of replies, passed on by half before both ends are closed
        self.stalled = False  # takes connections and bytes, and passes nothing on
        self.cuts = 0
        self._to_port, self._random = to_port, random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def drop_all(self) -> int:
        """Cuts every connection now; how many."""

        async def drop() -> int:
            dropped = [writer for writer in self._writers if not writer.is_closing()]
            for writer in dropped:
                writer.transport.abort()
            return len(dropped) // 2

        return asyncio.run_coroutine_threadsafe(drop(), self._loop).result(10)

    def close(self) -> None:
        self.drop_all()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, up_writer}
        self._writers |= pair
        tasks = [asyncio.ensure_future(self._pass(reader, up_writer)), asyncio.ensure_future(self._pass(up_reader, writer, reply=True))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for one in pair:
            one.transport.abort()
        self._writers -= pair

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reply: bool = False) -> None:
        with suppress(OSError):
            while piece := await reader.read(65_536):
                while self.stalled:
                    await asyncio.sleep(0.02)
                if reply and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if reply and self.cut_share and self._random.random() < self.cut_share:
                    self.cuts += 1
                    writer.write(piece[: len(piece) // 2])
                    await writer.drain()
                    return
                writer.write(piece)
                await writer.drain()
