"""Promises that a user wrote out: each table names a contract and fills in its fields."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeAlias

from llmroute_sim.names import Unknown
from pytest_llmroute.contracts import Contract, Target, contracts
from pytest_llmroute.contracts.retry import Hint, Hopeless
from pytest_llmroute.contracts.stream import OneVoice, Whole
from pytest_llmroute.promises import Because, Promise, retargeted
from pytest_llmroute.routers import APIS
from pytest_llmroute.routers.own.fields import Misfit, field_names, fill
from pytest_llmroute.routers.own.stage import distinct, named, numbers_of, roles
from pytest_llmroute.routers.own.tables import Table
from pytest_llmroute.routers.own.targets import Map

__all__ = ("promises_in",)

_KEYS = ("contract", "text", "at", "entries", "avoid", "options")
_Deployment: TypeAlias = tuple[str, str | None, str | None]


def promises_in(
    whole: Table, world: Map, group: str, groups: Collection[str] = ()
) -> tuple[Promise, ...]:
    """The promises of a file, and the good practice that applies to what it names. ``group`` is what
    they are about that name none of the ``groups``. Raises ``ConfigError``."""
    tables, options = whole.tables("promise"), whole.table("options").entry
    about = {table.at: _group(table, group, groups) for table in tables}
    keys = (*_KEYS, "group") if groups else _KEYS
    read = [(table, *_contract(table, world, about[table.at], keys)) for table in tables]
    targets = _apart(target for _, contract, acted in read for target in (*named(contract), *acted))
    order = distinct(targets.values())
    written = [
        _promise(
            table,
            retargeted(contract, lambda target: targets[target.name]),
            acted,
            order,
            world,
            about[table.at],
            options,
        )
        for table, contract, acted in read
    ]
    practice = _practice(whole, order, group)
    return (*written, *(replace(promise, options=options) for promise in practice))


def _group(table: Table, usual: str, groups: Collection[str]) -> str:
    """The group that a promise is about."""
    group = table.text("group", "a name") or usual
    if groups and group not in groups:
        raise table.unknown(Unknown("group", group, groups), "group")
    return group


def _contract(
    table: Table, world: Map, group: str, keys: Collection[str]
) -> tuple[Contract, tuple[Target, ...]]:
    """The contract of a table, and where scenarios are to act, if it says so."""
    name = table.text("contract", "the name of a contract")
    if name is None:
        raise table.error(f"contract is missing (known: {', '.join(contracts())})")
    kind = contracts().get(name)
    if kind is None:
        raise table.unknown(Unknown("contract", name, contracts()), "contract")
    table.check(name, (*keys, *field_names(kind)))
    at = table.entry.get("at", [])
    key: str | None = "at"
    try:
        acted = tuple(world.target(place) for place in ([at] if isinstance(at, str) else at))
        key = None
        return fill(kind, table.entry, world.target, group), acted
    except Misfit as misfit:
        raise table.error(str(misfit), misfit.key) from misfit
    except Unknown as unknown:
        raise table.unknown(unknown, key or _holder(table, unknown.name)) from unknown
    except (TypeError, ValueError) as error:
        raise table.error(str(error), key) from error


def _holder(table: Table, name: str) -> str | None:
    """The key in whose value a name stands."""
    return next((key for key, value in table.entry.items() if name in str(value)), None)


def _promise(
    table: Table,
    contract: Contract,
    acted: tuple[Target, ...],
    order: tuple[Target, ...],
    world: Map,
    group: str,
    options: Mapping[str, Any],
) -> Promise:
    entries = table.texts("entries", "ways in ('chat', 'chat-async-stream')")
    for entry in entries:
        if entry.partition("-")[0] not in APIS:
            apis = ", ".join(APIS)
            raise table.error(f"{entry!r} is not a way in ({apis}, chat-async...)", "entries")
    options = {**options, **table.table("options").entry}
    avoid = table.table("avoid").entry
    if not all(isinstance(reason, str) for reason in avoid.values()):
        raise table.error("give each scenario that is not to be played a reason", "avoid")
    because = Because("user", str(table.path), table.line(), ("promise",))
    return Promise(
        contract,
        because,
        table.text("text", "a sentence") or f"{_said(contract)}{_asked(options)}",
        group,
        entries,
        roles(contract, acted, order),
        numbers_of(contract, order, world),
        avoid,
        options,
    )


# -- what a contract is about


def _apart(targets: Iterable[Target]) -> dict[str, Target]:
    """The targets of a file by name, those marked that have their hosts to themselves. A place
    without a model is its whole host, and takes nothing away from a model there."""
    found = {target.name: target for target in targets}
    at: dict[str, set[_Deployment]] = {}
    for target in found.values():
        for deployment in target.deployments:
            if deployment[1:] != (None, None):
                at.setdefault(deployment[0], set()).add(deployment)
    return {
        name: replace(
            target,
            alone=all(len(at.get(host, ())) <= 1 for host, _, _ in target.deployments),
        )
        for name, target in found.items()
    }


def _said(contract: Contract) -> str:
    """The contract's rule with the names of this file."""
    said = []
    for field in fields(contract):  # type: ignore[arg-type]  # every contract is a dataclass
        match getattr(contract, field.name):
            case Target(name=name):
                said.append(f"{field.name} {name}")
            case (Target(), *_) as listed:
                said.append(f"{field.name} {', then '.join(one.name for one in listed)}")
            case ((Target(), _), *_) as pairs:
                said.append(
                    f"{field.name} {', '.join(f'{one.name} {part}' for one, part in pairs)}"
                )
            case ((str(), (Target(), *_)), *_) as lists:
                said += [
                    f"{name}: {', '.join(one.name for one in listed)}" for name, listed in lists
                ]
            case value if field.name not in ("group", "unless") and value is not None:
                said.append(
                    f"{field.name} {value:g}"
                    if isinstance(value, float)
                    else f"{field.name} {value}"
                )
    about = type(contract).about
    return f"{about} ({'; '.join(said)})" if said else about


def _asked(options: Mapping[str, Any]) -> str:
    """What every request carries, as a promise's text says it."""
    said = (f"{name} = {json.dumps(value, default=str)}" for name, value in options.items())
    return f", asked with {', '.join(said)}" if options else ""


# -- good practice


def _practice(whole: Table, order: tuple[Target, ...], group: str) -> list[Promise]:
    """What nobody promised. Named under ``policy`` it counts as the user's own promise."""
    asked = whole.texts("policy", "names of contracts")
    rules: list[Contract] = [OneVoice(), Whole()]
    if order:
        rules += [Hint(order), Hopeless(order)]
    known = {rule.id: rule for rule in rules}
    for name in asked:
        if name not in known:
            raise whole.unknown(Unknown("policy", name, known), "policy")
    written = {table.entry.get("contract") for table in whole.tables("promise")}
    found = []
    for rule in rules:
        if rule.id in written and rule.id not in asked:
            continue
        line = whole.line("policy") if rule.id in asked else None
        because = Because(
            "user" if rule.id in asked else "policy",
            str(whole.path),
            line,
            ("policy",) if rule.id in asked else (),
            note="good practice, which nobody promises unless asked",
        )
        found.append(Promise(rule, because, _said(rule), group, roles=roles(rule, (), order)))
    return found
