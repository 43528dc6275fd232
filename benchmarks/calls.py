"""What a call costs: ``python benchmarks/calls.py`` prints ratios, each from one interleaved run.

CPU time of the whole process per call (client and provider), the median of the rounds. Absolute
figures are of the machine it runs on; only the ratios carry over.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from typing import NamedTuple

from llmroute_sim.carriers.http1 import Connection
from llmroute_sim.carriers.memory import in_memory
from llmroute_sim.carriers.tcp import serve
from llmroute_sim.clock import Clock, RealClock
from llmroute_sim.simulator import Pace, Simulator
from llmroute_sim.wire import Address

ROUNDS, CALLS = 9, 60
OPENAI = Address("api.openai.com")
BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Say something."}]})


def raw(body: str) -> bytes:
    """A request as it crosses the wire."""
    return (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: api.openai.com\r\n"
        "authorization: Bearer sk-bench\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode()


RAW = raw(BODY)


class Cost(NamedTuple):
    """Microseconds per call: of CPU, and by the clock on the wall."""

    cpu: float
    wall: float

    def over(self, other: Cost) -> str:
        """How much dearer it is than another, by either."""
        return f"{self.cpu / other.cpu:5.2f} (wall {self.wall / other.wall:5.2f})"


def rounds(named: dict[str, Callable[[int], None]]) -> dict[str, Cost]:
    """What a call costs each, the median of rounds taken in turns."""
    spent: dict[str, list[Cost]] = {name: [] for name in named}
    for run in named.values():
        run(3)
    for _ in range(ROUNDS):
        for name, run in named.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run(CALLS)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            spent[name].append(Cost(cpu / CALLS * 1e6, wall / CALLS * 1e6))
    return {
        name: Cost(*(statistics.median(each) for each in zip(*costs, strict=True)))
        for name, costs in spent.items()
    }


class Sink:
    """A line that leads nowhere."""

    def send(self, segment: bytes) -> None: ...
    def end(self) -> None: ...
    def reset(self) -> None: ...
    def later(self, seconds: float, then: Callable[[], None]) -> object: ...


def own_share() -> None:
    """Wire, core and history, without any client: the least of the rounds, each in a fresh world.

    One body again and again, as retries send it, and bodies never seen before.
    """
    count = 400
    bodies = [BODY.replace("something", f"something about {n:06}") for n in range(count * ROUNDS)]
    least = {"same": float("inf"), "never seen": float("inf")}
    for number in range(ROUNDS):
        fresh = map(raw, bodies[number * count : (number + 1) * count])
        for name, asked in (("same", [RAW] * count), ("never seen", list(fresh))):
            connection = Connection(Simulator(Clock()), OPENAI, Sink())  # type: ignore[arg-type]
            start = time.process_time()
            for request in asked:
                connection.feed(request)
            least[name] = min(least[name], (time.process_time() - start) / count * 1e6)
    for name, cost in least.items():
        what = f"our own share of a call, body {name}"
        print(f"{what:49} {cost:6.1f} µs of CPU ({1e6 / cost:.0f} per second)")


def whole_calls() -> None:
    """The same client in memory, over a loopback server in this process, and over respx."""
    import httpx
    import openai
    import respx

    message = [{"role": "user", "content": "Say something."}]
    canned = json.loads(_answer())
    with ExitStack() as stack:
        server = stack.enter_context(serve(Simulator(RealClock()), paths={"openai": OPENAI}))
        over_tcp = server.url("openai") + "/v1"
        clients = {
            "httpx": lambda base: (
                client := httpx.Client(),
                lambda: client.post(
                    f"{base}/chat/completions",
                    content=BODY,
                    headers={"authorization": "Bearer sk-bench"},
                ).raise_for_status(),
            )[1],
            f"openai {version('openai')}": lambda base: (
                client := openai.OpenAI(api_key="sk-bench", base_url=base),
                lambda: client.chat.completions.create(model="gpt-4o", messages=message),  # type: ignore[arg-type]
            )[1],
        }
        for name, make in clients.items():
            tcp = make(over_tcp)
            memory = make("https://api.openai.com/v1")
            mocked = make("https://api.openai.com/v1")

            def in_world(count: int, ask: Callable[[], object] = memory) -> None:
                clock = Clock()
                with in_memory(Simulator(clock), clock):
                    for _ in range(count):
                        ask()

            def over_loopback(count: int, ask: Callable[[], object] = tcp) -> None:
                for _ in range(count):
                    ask()

            def with_respx(count: int, ask: Callable[[], object] = mocked) -> None:
                answer = httpx.Response(200, json=canned)
                with respx.mock:
                    respx.post("https://api.openai.com/v1/chat/completions").mock(
                        return_value=answer
                    )
                    for _ in range(count):
                        ask()

            named = {"memory": in_world, "loopback": over_loopback}
            if name == "httpx" or version("openai").startswith("2."):
                named["respx"] = with_respx  # respx does not catch httpx2
            cost = rounds(named)
            memory_cost = cost["memory"]
            line = f"{name:22} loopback / memory {cost['loopback'].over(memory_cost)}"
            if "respx" in cost:
                line += f"   respx / memory {cost['respx'].over(memory_cost)}"
            print(f"{line}   ({memory_cost.cpu:.0f} µs of CPU in memory)")


def _answer() -> str:
    simulator = Simulator(Clock())
    said: list[bytes] = []

    class Note(Sink):
        def send(self, segment: bytes) -> None:
            said.append(segment)

    Connection(simulator, OPENAI, Note()).feed(RAW)  # type: ignore[arg-type]
    return b"".join(said).split(b"\r\n\r\n", 1)[1].decode()


def virtual_time() -> None:
    """The same asynchronous calls with and without waits on the virtual clock."""
    import httpx

    def world(pace: Pace) -> Callable[[int], None]:
        def run(count: int) -> None:
            clock = Clock()
            simulator = Simulator(clock, pace=pace)

            async def main() -> None:
                async with httpx.AsyncClient(timeout=600) as client:
                    for _ in range(count):
                        await client.post(
                            "https://api.openai.com/v1/chat/completions",
                            content=BODY,
                            headers={"authorization": "Bearer sk-bench"},
                        )

            with in_memory(simulator, clock):
                asyncio.run(main())

        return run

    cost = rounds({"at once": world(Pace()), "after a minute": world(Pace(60.0))})
    print(
        f"httpx async, answers a minute late / at once      "
        f"{cost['after a minute'].over(cost['at once'])}   (a minute of waiting costs nothing else)"
    )


if __name__ == "__main__":
    print(f"python {sys.version.split()[0]}, openai {version('openai')}, httpx {version('httpx')}")
    own_share()
    whole_calls()
    virtual_time()
