"""Balance: how calls are spread over targets that stand in for each other, and the limits of each."""

from __future__ import annotations

from pytest_llmroute.contracts.choice import Cheapest, Fastest, LeastBusy
from pytest_llmroute.contracts.limits import InFlight, Rate, Room
from pytest_llmroute.contracts.split import Split, calls_to_tell
from pytest_llmroute.contracts.wishes import Sticky, Tagged

__all__ = (
    "CONTRACTS",
    "Cheapest",
    "Fastest",
    "InFlight",
    "LeastBusy",
    "Rate",
    "Room",
    "Split",
    "Sticky",
    "Tagged",
    "calls_to_tell",
)

CONTRACTS = (Split, InFlight, Rate, Room, Cheapest, LeastBusy, Fastest, Tagged, Sticky)
