"""Simulated providers on a loopback port, in real time, for an application in another process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace

from llmroute_sim.carriers import tcp
from llmroute_sim.clock import RealClock
from llmroute_sim.history import History
from llmroute_sim.simulator import Simulator
from llmroute_sim.wire import Address, Exchange, Request, Step
from pytest_llmroute import asking, census
from pytest_llmroute.ask import Pen
from pytest_llmroute.asking import Recorded
from pytest_llmroute.controls import Controls
from pytest_llmroute.serving.addresses import base_url, environment, past_proxies, paths, roots

__all__ = ("Server", "served")


class Server(Controls):
    """Providers that answer on one port of this machine, each under its own path.

    Made by :func:`served` or handed out by the fixture ``llmroute_server``. Time is real, and so are
    the seconds of incidents.
    """

    def __init__(
        self, simulator: Simulator, clock: RealClock, door: Doorkeeper, carrier: tcp.TCPCarrier
    ) -> None:
        super().__init__(simulator, clock)
        self._door = door
        self._carrier = carrier
        self._pen = Pen(simulator.history, clock)

    @property
    def origin(self) -> str:
        """``http://127.0.0.1:PORT``, below which the providers are."""
        return f"http://{self._carrier.host}:{self._carrier.port}"

    def base_url(self, provider: str) -> str:
        """The base URL to give a client of a provider. Raises ``Unknown`` for one that does not
        exist."""
        return base_url(self.origin, provider)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead the SDKs of every provider here, with keys that open nothing:
        ``subprocess.run(..., env={**os.environ, **llmroute_server.environment})``."""
        return environment(roots(self.origin)) | past_proxies()

    @property
    def history(self) -> History:
        """Every call and attempt so far."""
        # What came in before this is asked for is in it: the server has had its turn.
        for _ in range(2):
            self._carrier.refresh()
        return self.simulator.history

    @contextmanager
    def call(
        self,
        name: str = "call",
        /,
        *,
        group: str | None = None,
        stream: bool = False,
        question: object = None,
        **labels: str,
    ) -> Iterator[Recorded]:
        """Record a block as a call: requests that reach the server meanwhile belong to it, unless
        their header ``x-llmroute-call`` has the id of another.

        Hand over what was answered with ``call.answer(value)``. Raises ``RuntimeError`` inside of
        another such block: nothing would tell whose requests they are.
        """
        if self._door.call is not None:
            raise RuntimeError("one call at a time: nothing tells whose a request is")
        seen = asking.seen_of(name, group, stream, question, labels)
        with asking.recorded(self._pen, _Endless(), seen) as call:
            self._door.call = call.record.id
            try:
                yield call
            finally:
                self._door.call = None


class _Endless:
    """A clock on which another process may take as long as it takes."""

    def horizon_at(self, seconds_from_now: float) -> AbstractContextManager[object]:
        """No horizon."""
        return nullcontext()


class Doorkeeper:
    """A simulator's door, at which requests that name no call are taken for ``call``."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self.call: str | None = None

    def knows(self, host: str) -> bool:
        """As the simulator."""
        return self._simulator.knows(host)

    def lack(self, steps: Mapping[Step, str]) -> None:
        """As the simulator."""
        self._simulator.lack(steps)

    def keeps(self, address: Address) -> bool:
        """As the simulator."""
        return self._simulator.keeps(address)

    def stray(self, address: Address, call: str | None) -> None:
        """As the simulator."""
        self._simulator.stray(address, call or self.call)

    def connect(self, address: Address, call: str | None) -> Exchange:
        """As the simulator."""
        return self._simulator.connect(address, call or self.call)

    def open(self, request: Request) -> Exchange:
        """As the simulator."""
        return self._simulator.open(replace(request, call=request.call or self.call))


@contextmanager
def served(*, seed: int = 0) -> Iterator[Server]:
    """Serve simulated providers around a block, on a free port of this machine, from a thread."""
    clock = RealClock()
    simulator = Simulator(clock, seed=seed)
    simulator.history.clock = clock.description
    door = Doorkeeper(simulator)
    with tcp.serve(door, paths=paths()) as carrier:
        try:
            yield Server(simulator, clock, door, carrier)
        finally:
            census.count(simulator.history)
