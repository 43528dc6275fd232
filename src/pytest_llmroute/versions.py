"""Which releases are installed of everything that a verdict may depend on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ("installed",)

_PACKAGES = (
    "pytest-llmroute", "litellm", "openai", "anthropic", "httpx", "httpx2", "aiohttp", "respx",
    "pytest", "hypothesis", "genai-prices",
)  # fmt: skip


def installed() -> dict[str, str]:
    """Package to release, of those that are installed; ``python`` among them."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    print(", ".join(f"{name} {release}" for name, release in installed().items()))  # noqa: T201 (it is what this command is for)
