"""What promises are called where a name must outlive edits of their file: in a baseline, and in what
a CI system remembers of earlier runs. No lines and no places in lists are in such a name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from pytest_llmroute.contracts import Target
from pytest_llmroute.promises import Promise

__all__ = ("closest", "lasting_names", "meant")

_OWN = ("promise",)
"""The key of promises that users write out, which tells nothing."""
_ALIKE = 0.5
"""How alike a name must be to be suggested, from 0 to 1."""


def lasting_names(promises: Sequence[Promise]) -> tuple[str, ...]:
    """The names of a configuration's promises, in their order: the contract, the group, the keys
    that promise it and the one target that it is about. Those that still have the same are numbered
    (``~2``), equal ones excepted, which are one promise."""
    given: Counter[str] = Counter()
    names: list[str] = []
    for place, promise in enumerate(promises):
        if promise in promises[:place]:
            names.append(names[promises.index(promise)])
            continue
        name = _plain(promise)
        given[name] += 1
        names.append(name if given[name] == 1 else f"{name}~{given[name]}")
    return tuple(names)


def meant(text: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names that a text may mean: the one that it is, or those that begin so, when it says less.
    A promise's id as reports show it, with its line, says the contract and the group."""
    if text in names:
        return (text,)
    asked = _loose(text)
    loose = {name: _loose(name) for name in names}
    exact = tuple(name for name, form in loose.items() if form == asked)
    begun = (f"{asked} ", f"{asked}~")
    return exact or tuple(name for name, form in loose.items() if form.startswith(begun))


def closest(text: str, names: Sequence[str]) -> str | None:
    """The name that a text is most like, as a whole or as far as its group, if it is like any."""
    likeness = {
        name: max(
            SequenceMatcher(None, text, part).ratio() for part in (name, name.partition(" ")[0])
        )
        for name in names
    }
    best = max(likeness, key=likeness.__getitem__, default=None)
    return best if best is not None and likeness[best] > _ALIKE else None


def _plain(promise: Promise) -> str:
    contract, key = promise.contract, promise.because.key
    twin = ":policy" if promise.id.endswith(":policy]") else ""
    words = [f"{contract.id}[{promise.group}{twin}]"]
    if key and key != _OWN:
        words.append(".".join(part for part in key if not part.isdigit()))
    target = getattr(contract, "target", None)
    if isinstance(target, Target) and target.name != promise.group:
        words.append(f"of {target.name}")
    return " ".join(words)


def _loose(text: str) -> str:
    """A name, or what a user wrote for one, without lines and places in lists."""
    spaced = " ".join(text.split())
    return re.sub(r"\.\d+(?=\.)", "", re.sub(r":\d+(:policy)?\]", r"\1]", spaced, count=1))
