"""Which addresses of the network are public."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Addresses that a gateway translates: the last 32 bits are an IPv4 address."""

_UNICAST = ipaddress.ip_network("2000::/3")
"""All that is assigned of IPv6. What lies beside it is for a machine or a site alone, or for nobody yet."""

_SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20")))
"""What ``is_global`` takes for public in some versions of Python: cloud metadata is at 192.0.0.192 in one cloud."""


def is_public(text: str) -> bool:
    """Whether an address is one of the public Internet, also where it hides an IPv4 address.

    Example:
        >>> [is_public(text) for text in ("93.184.216.34", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1")]
        [True, False, False, False]
    """
    address = ipaddress.ip_address(text)
    hidden = _hidden_in(address)
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST and not hidden:
        return False
    return all(_is_global(one) for one in (address, *hidden))


def _is_global(address: Address) -> bool:
    special = any(address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special


def _hidden_in(address: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that a router may take an IPv6 address for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    hidden = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        hidden.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in hidden if one is not None]
