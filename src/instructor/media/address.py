"""Which addresses of the network are public."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Addresses that a gateway translates: the last 32 bits are an IPv4 address."""


def is_public(text: str) -> bool:
    """Whether an address is one of the public Internet, also where it hides an IPv4 address.

    Example:
        >>> [is_public(text) for text in ("93.184.216.34", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1")]
        [True, False, False, False]
    """
    address = ipaddress.ip_address(text)
    return all(one.is_global and not one.is_multicast for one in (address, *_hidden_in(address)))


def _hidden_in(address: Address) -> list[ipaddress.IPv4Address]:
    """The IPv4 addresses that a router may take an IPv6 address for."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    # All that is ::/96 is an old way to write an IPv4 address.
    hidden = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64 or int(address) >> 32 == 0:
        hidden.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in hidden if one is not None]
