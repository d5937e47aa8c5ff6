"""The addresses that a stranger may have us connect to: those of the public internet and no others."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

# IANA's registries of special-purpose addresses (RFC 6890 and its updates), as of November 2026.
_REFUSED_IPV4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT, and some clouds' own services
        "127.0.0.0/8",  # this machine
        "168.63.129.16/32",  # Azure's host agent: a public address that leads inside
        "169.254.0.0/16",  # link-local, where clouds keep metadata and credentials
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
_GLOBAL_IPV6: Final = IPv6Network("2000::/3")
"""All that has ever been given out. Whatever lies outside is local, reserved, or embeds an IPv4 address: ::1, ::ffff:…,
::a.b.c.d, 64:ff9b::/96, fc00::/7, fe80::/10, ff00::/8."""
_REFUSED_IPV6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments; Teredo, which embeds IPv4, is the first part of it
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 embeds IPv4
        "3fff::/20",  # documentation
    )
)
_ISATAP: Final = (0x00005EFE, 0x02005EFE)  # the upper half of an interface id whose lower half is an IPv4 address


def is_public(address: str) -> bool:
    """Whether the address, as the resolver writes it, is one of the public internet."""
    parsed = ip_address(address)
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _REFUSED_IPV4)
    return _is_public_ipv6(parsed)


def _is_public_ipv6(address: IPv6Address) -> bool:
    if address.scope_id is not None or address not in _GLOBAL_IPV6:
        return False
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return False
    return not any(address in network for network in _REFUSED_IPV6)
