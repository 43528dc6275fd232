"""The hosts of a file: who answers there, for what price, and the name that a path shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from llmroute_sim.providers import Tariff, providers
from llmroute_sim.simulator import Deployment
from pytest_llmroute.routers.litellm.members import Member

__all__ = ("deployments", "labels")

_DULL = frozenset({"api", "www", "llm", "gateway"})


def deployments(members: Iterable[Member]) -> tuple[Deployment, ...]:
    """What has to be simulated, one deployment per host."""
    by_host: dict[str, list[Member]] = {}
    for member in members:
        by_host.setdefault(member.host, []).append(member)
    names = labels(by_host)
    found = []
    for host, served in by_host.items():
        known = served[0].provider
        tariffs: dict[str, Tariff] = {
            member.model: member.named for member in served if member.named is not None
        }
        found.append(
            Deployment(
                host,
                known,
                known.name if host in known.hosts else names[host],
                models=frozenset(member.model for member in served),
                tariffs=tariffs,
            )
        )
    return tuple(found)


def labels(hosts: Iterable[str]) -> Mapping[str, str]:
    """The shortest name that tells each host from the others: the first label of it that no other
    has, else the whole of it."""
    all_hosts = list(dict.fromkeys(hosts))
    taken = {name for known in providers().values() for name in (known.name, *known.hosts)}
    found: dict[str, str] = {}
    for host in all_hosts:
        others = {part for other in all_hosts if other != host for part in other.split(".")}
        parts = host.split(".")[:-1] or [host]
        free = [part for part in parts if part not in others and part not in taken]
        lively = [part for part in free if part not in _DULL and not part.isdigit()]
        found[host] = next(iter(lively), host)
        taken.add(found[host])
    return found
