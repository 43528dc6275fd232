"""Whom programs have to trust to be served by TLS: a throw-away authority, and its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from llmroute_sim.carriers.certificates import Certificates

__all__ = ("VARIABLES", "Trust", "throw_away")

VARIABLES = (
    "SSL_CERT_FILE",  # OpenSSL, and what asks as it does: Python's ssl, httpx, aiohttp, Go, Ruby
    "REQUESTS_CA_BUNDLE",  # requests
    "NODE_EXTRA_CA_CERTS",  # Node, beside the authorities that it has
    "CURL_CA_BUNDLE",  # curl, and requests where it is told nothing else
    "AWS_CA_BUNDLE",  # botocore and the AWS command
)
"""The variables by which programs of each ecosystem are told whom to trust."""


@dataclass(frozen=True, slots=True)
class Trust:
    """An authority that signs what a server shows, and the file (PEM) that says so to programs."""

    certificates: Certificates
    file: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables by which programs trust the authority."""
        return dict.fromkeys(VARIABLES, str(self.file))


@contextmanager
def throw_away() -> Iterator[Trust]:
    """A new authority, whose file and keys are gone after the block.

    Raises :class:`~llmroute_sim.carriers.certificates.NoTLS` where trustme is not installed.
    """
    certificates = Certificates()
    with TemporaryDirectory(prefix="llmroute-") as folder:
        file = Path(folder) / "authority.pem"
        file.write_text(certificates.authority, "ascii")
        yield Trust(certificates, file)
