"""Who answers: providers and their hosts, models, prices and context windows.

Providers are data (``llmroute_data/providers``). Prices and windows come from the genai-prices
package (MIT), whose release dates them; a configuration that names prices of its own overrides them.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from importlib.resources import files
from typing import Any, Literal, get_args

from llmroute_sim.names import Unknown
from llmroute_sim.prompt import Usage
from llmroute_sim.quotas import Counting

__all__ = (
    "Model", "Provider", "Size", "Tariff", "catalogue", "load", "model", "provider", "providers",
)  # fmt: skip

Dimensions = Literal["shorten", "refused", "ignored"]


@dataclass(frozen=True, slots=True)
class Tariff:
    """What tokens cost, in USD per token."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)

    def charge(self, usage: Usage) -> Decimal:
        """The price of an answer in USD."""
        return self.input * usage.input + self.output * usage.output


@dataclass(frozen=True, slots=True)
class Size:
    """How long the vectors of a model are, and what becomes of ``dimensions`` in a request: it
    shortens them, is refused, or is no field of the provider's at all."""

    length: int
    dimensions: Dimensions


@dataclass(frozen=True, slots=True)
class Model:
    """A model as its provider sells it. ``window`` is the context window in tokens, ``size`` that of
    its vectors; None where nothing here knows it."""

    name: str
    tariff: Tariff = Tariff()
    window: int | None = None
    size: Size | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """A company that serves models: its hosts, the format it speaks, and the terms of its endpoint
    (jurisdiction, retention in days, whether inputs train models, attestations). ``errors`` is the
    table of how it says no, unless that is its format's own; ``counting`` how it counts requests and
    tokens; ``strict`` says that it refuses fields which its format does not have; ``largest_body``
    are the bytes of the largest request that it documents to read, None where it documents none.
    ``also`` are formats that it speaks beside the first, at paths of their own; ``keeps`` says that
    it keeps answers, so that a conversation can go on from one; ``sizes`` are those of the vectors of
    its models."""

    name: str
    title: str
    dialect: str
    hosts: tuple[str, ...]
    base_path: str = ""
    prices: str | None = None
    source: str = ""
    as_of: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    terms: Mapping[str, Any] = field(default_factory=dict)
    errors: str | None = None
    counting: Counting = field(default_factory=Counting)
    strict: bool = False
    largest_body: int | None = None
    also: tuple[str, ...] = ()
    keeps: bool = False
    sizes: Mapping[str, Size] = field(default_factory=dict)


def load(name: str, text: str) -> Provider:
    """Read one provider from TOML. Raises ``Unknown`` for a key that does not exist."""
    entry = tomllib.loads(text)
    known = {
        "title", "dialect", "hosts", "base-path", "prices", "as-of", "source", "environment", "terms",
        "errors", "limits", "unknown-fields", "largest-body", "also", "keeps-answers", "vectors",
    }  # fmt: skip
    for key in entry:
        if key not in known:
            raise Unknown(f"key of the provider {name}", key, known)
    fields = entry.get("unknown-fields", "ignored")
    if fields not in ("ignored", "refused"):
        raise Unknown(f"unknown-fields of the provider {name}", str(fields), ("ignored", "refused"))
    return Provider(
        name,
        entry["title"],
        entry["dialect"],
        tuple(entry["hosts"]),
        entry.get("base-path", ""),
        entry.get("prices"),
        entry.get("source", ""),
        str(entry.get("as-of", "")),
        entry.get("environment", {}),
        entry.get("terms", {}),
        entry.get("errors"),
        Counting.read(entry.get("limits", {})),
        fields == "refused",
        entry.get("largest-body"),
        tuple(entry.get("also", ())),
        entry.get("keeps-answers", False),
        {model: _size(name, size) for model, size in entry.get("vectors", {}).items()},
    )


def _size(name: str, entry: Mapping[str, Any]) -> Size:
    dimensions = entry["dimensions"]
    if dimensions not in get_args(Dimensions):
        raise Unknown(f"dimensions of {name}", str(dimensions), get_args(Dimensions))
    return Size(entry["length"], dimensions)


@functools.cache
def providers() -> Mapping[str, Provider]:
    """Every shipped provider by its name."""
    folder = files("llmroute_data").joinpath("providers")
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        name, dot, ending = entry.name.rpartition(".")
        if dot and ending == "toml":
            found[name] = load(name, entry.read_text("utf-8"))
    return found


def provider(name: str) -> Provider:
    """The provider of a name. Raises ``Unknown``."""
    found = providers().get(name)
    if found is None:
        raise Unknown("provider", name, providers())
    return found


def model(provider: Provider, name: str) -> Model | None:
    """What the catalogue knows of a provider's model, None if it knows nothing."""
    sold = None if provider.prices is None else _catalogued(provider.prices, name)
    size = provider.sizes.get(name)
    return sold if sold is None or size is None else replace(sold, size=size)


def catalogue(provider: Provider) -> tuple[str, ...]:
    """The models that the catalogue knows of a provider, to find the closest among their names."""
    from genai_prices.data_snapshot import get_snapshot

    found = (one for one in get_snapshot().providers if one.id == provider.prices)
    return tuple(model.id for one in found for model in one.models)


@functools.lru_cache(maxsize=512)
def _catalogued(seller: str, name: str) -> Model | None:
    from genai_prices import Usage as Tokens
    from genai_prices import calc_price

    try:
        # One token: prices that rise with the length of the prompt start with their base.
        read = calc_price(Tokens(input_tokens=1), name, provider_id=seller)
        wrote = calc_price(Tokens(output_tokens=1), name, provider_id=seller)
    except LookupError:
        return None
    return Model(name, Tariff(read.total_price, wrote.total_price), read.model.context_window)
