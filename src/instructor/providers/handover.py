"""Clients of a vendor's own SDK that a program hands over: whose they are, and how an adapter is made over one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from instructor.providers.adapter import Adapter
from instructor.providers.table import Vendor


class WrapClient(Protocol):
    """Makes the adapter over a client that the caller made; `ClientError` where it is another's."""

    def __call__(self, vendor: Vendor, client: Any, *, asynchronous: bool) -> Adapter:
        """`asynchronous` is what the caller asks for; a client that can be asked in one way only decides itself."""
        ...


@dataclass(frozen=True, slots=True)
class Handover:
    """How a vendor takes its SDK's clients.

    Attributes:
        vendor: The row that such a client's adapter is made for.
        packages: The SDK's packages, by which a client is known.
        wrap: Makes the adapter.
    """

    vendor: Vendor
    packages: tuple[str, ...]
    wrap: WrapClient


_HANDOVERS: dict[str, Handover] = {}


def add_handover(handover: Handover) -> None:
    """Let `wrap_client` know a vendor's clients."""
    _HANDOVERS[handover.vendor.name] = handover


def wrap_client(client: Any, *, asynchronous: bool, vendor: str = "") -> tuple[Vendor, Adapter] | None:
    """Make the adapter over a client of a vendor's own SDK; None where no vendor knows the client's package.

    With a `vendor`, its own clients alone count.
    """
    from instructor.providers.vendors import load_owner, load_vendor

    package = package_of(client)
    if vendor:
        load_vendor(vendor)
    else:
        load_owner(package)
    for name, handover in _HANDOVERS.items():
        if package in handover.packages and name == (vendor or name):
            return handover.vendor, handover.wrap(handover.vendor, client, asynchronous=asynchronous)
    return None


def package_of(value: Any) -> str:
    """The package that an object's class belongs to. A mock with a spec names the class that it stands for."""
    kind: type = value.__class__
    return str(kind.__module__).partition(".")[0]
