"""Addresses and networks: which are this machine's own, and which proxies are believed."""

import ipaddress
import re

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Networks:
    """Addresses and networks such as 10.0.1.0/24, with commas or spaces between."""

    def __init__(self, value: str) -> None:
        self._networks = [_network(part) for part in re.split(r"[,\s]+", value.strip())]

    def __contains__(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def address_of(text: str) -> Address:
    """Return the address that a text is. An IPv4 address that a socket of both kinds shows as IPv6 is IPv4.

    Raises ValueError where it is none.
    """
    address = ipaddress.ip_address(text)
    return getattr(address, "ipv4_mapped", None) or address


def is_local(host: str) -> bool:
    """Whether a host, or an address, is this machine's own."""
    return host == "localhost" or (is_address(host) and address_of(host).is_loopback)


def is_address(host: str) -> bool:
    try:
        address_of(host)
    except ValueError:
        return False
    return True


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    network = ipaddress.ip_network(text)
    if network.prefixlen == 0:
        raise ValueError("takes in every address, and anybody's word would be believed")
    return network
