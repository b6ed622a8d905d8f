"""aiohttp in, aiohttp out, nothing kept: what the usual libraries leave of the cores.

python -m tests.benchmarks.bare_aiohttp SINK_PORT
"""

import argparse
import asyncio
import contextlib
import json
from collections.abc import Iterator

import uvloop
from aiohttp import ClientSession, TCPConnector, web

from tests.benchmarks.parts import line_of, part
from tests.benchmarks.sender import CONNECTIONS

__all__ = ["bare_aiohttp"]


@contextlib.contextmanager
def bare_aiohttp(sink: int) -> Iterator[int]:
    """Run it, passing on to a port of loopback; the port of its own door."""
    with part("tests.benchmarks.bare_aiohttp", sink) as process:
        yield int(line_of(process))


async def serve(sink: int) -> None:
    async with ClientSession(connector=TCPConnector(limit=CONNECTIONS)) as session:

        async def pass_on(line: bytes) -> None:
            message = json.loads(line)
            body = {"device": message["device"], "time": message["time"], "seq": message["seqNumber"]}
            async with session.post(f"http://127.0.0.1:{sink}/uplink/{message['device']}", json=body) as answer:
                await answer.read()

        async def take(request: web.Request) -> web.Response:
            await asyncio.gather(*map(pass_on, (await request.read()).splitlines()))
            return web.json_response({"accepted": 1}, status=202)

        app = web.Application()
        app.router.add_post("/v1/messages", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(runner.addresses[0][1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sink", type=int)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(given.sink))
