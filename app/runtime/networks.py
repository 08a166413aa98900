"""Classify addresses: this machine's own, and proxies that are trusted."""

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Networks:
    """A set of addresses and networks, given as text like 10.0.1.0/24, separated by commas or spaces."""

    def __init__(self, value: str) -> None:
        self._networks = [_network(part) for part in re.split(r"[,\s]+", value.strip())]

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def address_of(text: str) -> Address:
    """Return the address in the text. IPv4 mapped into IPv6, as dual-stack sockets show it, is returned as IPv4.

    Raise ValueError if it is no address.
    """
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def is_local(host: str) -> bool:
    """Return whether a host name or address is this machine's own."""
    return host == "localhost" or (is_address(host) and address_of(host).is_loopback)


def is_address(host: str) -> bool:
    """Return whether the text is an IP address."""
    try:
        address_of(host)
    except ValueError:
        return False
    return True


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    network = ipaddress.ip_network(text)
    if network.prefixlen == 0:
        raise ValueError("includes every address, so that any client could forge the header")
    return network
