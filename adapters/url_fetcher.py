"""Fetch photos by URL without becoming a stranger's way into our own network (SSRF)."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

import httpx
import structlog

from adapters.small_pieces import UnhurriedBackend, pause_after
from application.fair_shares import BodyClaim, BodyMemory
from application.ports.try_on import Fetch, FetchedPhoto, PhotoFetcher, UrlNotFetched, Validators
from domain.account import AccountId

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


QUERY_SECONDS: Final = 2.0
QUERIES: Final = 2


class NameResolver:
    """Asks the name servers of this machine, or `servers` ("address:port"), and reads /etc/hosts.

    Only full names are looked up: a search domain would make a name out of somebody's typing error.
    """

    def __init__(self, servers: Sequence[str] = ()) -> None:
        self._servers = servers
        self._channel: Any = None

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """All addresses of a host, IPv4 first; an address stands for itself. Raises: OSError: there are none."""
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Any] = loop.create_future()

        def answered(result: object, error: int | None) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
                loop.call_soon_threadsafe(partial(_settle, found, result, error))

        self._ask(host, port, answered)
        by_family = sorted((await found).nodes, key=lambda node: node.family != socket.AF_INET)
        return list(dict.fromkeys(node.addr[0].decode("ascii") for node in by_family))

    def _ask(self, host: str, port: int, answered: Callable[[object, int | None], None]) -> None:
        """The channel has a thread of its own for all names; it is made when the first one is looked up."""
        import pycares  # noqa: PLC0415 - only services that fetch need it

        try:
            self._channel = self._channel or pycares.Channel(
                servers=self._servers or None, timeout=QUERY_SECONDS, tries=QUERIES, flags=pycares.ARES_FLAG_NOSEARCH
            )
            self._channel.getaddrinfo(host, port, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM, callback=answered)
        except pycares.AresError:
            raise OSError("this is no name, or no name can be looked up") from None


def _settle(found: "asyncio.Future[Any]", result: object, error: int | None) -> None:
    if found.done():
        return  # the caller has given up
    if error is None:
        found.set_result(result)
    else:
        found.set_exception(OSError("the name leads nowhere"))


log = structlog.get_logger()

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_REDIRECTS: Final = 3
MEMORY_SECONDS: Final = 10.0
"""A request that waits for more memory may hold some for its body: such ones must not wait for each other for long."""
MAX_URL_CHARS: Final = 2048
_MAX_ADDRESSES: Final = 3  # that are tried one after the other, when the first does not answer
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_VALIDATOR_CHARS: Final = 256
_PORTS: Final = {"https": 443, "http": 80}
_HEADERS: Final = {
    "accept": "image/jpeg, image/png, image/webp;q=0.9, image/heic",
    "accept-encoding": "identity",
    "user-agent": "tryon-images",
    "connection": "close",
}


class _Refused(Exception):
    """One of our own rules; the reason is for the log."""


Draw = Callable[[int], Awaitable[None]]
"""Told how many bytes of a file there are; returns when more may be read."""


@dataclass(slots=True)
class _OneRequest(Fetch):
    """What one fetch takes of the time, the next ones lack; its memory serves them again."""

    follow: Callable[[str, Validators | None, Draw], Awaitable[FetchedPhoto | None]]
    claim: BodyClaim
    seconds_left: float

    async def __call__(self, url: str, known: Validators | None = None) -> FetchedPhoto | None:
        """The file behind the URL; None when it is the one that is `known`.

        Raises: UrlNotFetched, which says nothing about why.
        """
        now = asyncio.get_running_loop().time
        begun = now()
        try:
            async with asyncio.timeout(self.seconds_left) as deadline:
                found = await self.follow(url, known, partial(self._draw, deadline))
            if found is None and known is None:
                raise _Refused("status")
            return found
        except _Refused as refusal:
            reason = str(refusal)
        except TimeoutError:
            reason = "time"
        # UnicodeError: a host that is no host name; ValueError: an address or port that is none.
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as error:
            reason = type(error).__name__
        finally:
            self.seconds_left -= now() - begun
        log.info("url_not_fetched", reason=reason)
        raise UrlNotFetched

    async def _draw(self, deadline: asyncio.Timeout, size_bytes: int) -> None:
        """Time in which it is us who do not read does not count. Raises: Overloaded."""
        if size_bytes <= self.claim.claimed_bytes:
            return
        now, ends_at = asyncio.get_running_loop().time, deadline.when()
        begun = now()
        deadline.reschedule(None)
        await self.claim.draw(size_bytes - self.claim.claimed_bytes)
        waited = now() - begun
        self.seconds_left += waited
        deadline.reschedule(None if ends_at is None else ends_at + waited)


class UrlFetcher(PhotoFetcher):
    """Connects only to an address that it has looked at itself: what a name means later does not matter.

    seconds: for all that one request fetches together, redirects and the slowest of bodies included. memory: files draw
    on it as they arrive, as bodies do. Tests bring a resolver, an address check, ports and a certificate authority of
    their own.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        memory: BodyMemory,
        seconds: float = 10,
        allow_http: bool = False,
        resolver: Resolver | None = None,
        is_allowed: Callable[[str], bool] = is_public,
        ports: frozenset[int] = frozenset(_PORTS.values()),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._memory = memory
        self._seconds = seconds
        self._schemes = {"https", "http"} if allow_http else {"https"}
        self._resolve = resolver or NameResolver()
        self._is_allowed = is_allowed
        self._ports = ports
        self._tls = tls

    @contextmanager
    def for_one_request(self, account_id: AccountId) -> Iterator[Fetch]:
        with self._memory.claim(account_id, self._max_bytes, MEMORY_SECONDS) as claim:
            yield _OneRequest(self._follow, claim, self._seconds)

    async def _follow(self, url: str, known: Validators | None, draw: Draw) -> FetchedPhoto | None:
        """The file behind the URL, whatever time it takes. Raises: anything that a connection or an answer may."""
        target = self._checked(httpx.URL(url))
        for _ in range(1 + MAX_REDIRECTS):
            answer = await self._get(target, known or Validators(), draw)
            if not isinstance(answer, str):
                return answer
            target = self._checked(target.join(answer))
        raise _Refused("too many redirects")

    def _checked(self, url: httpx.URL) -> httpx.URL:
        if len(str(url)) > MAX_URL_CHARS:
            raise _Refused("length")
        if url.scheme not in self._schemes:
            raise _Refused("scheme")
        if url.userinfo or not url.host:
            raise _Refused("user or host")
        if (url.port or _PORTS[url.scheme]) not in self._ports:
            raise _Refused("port")
        return url

    async def _get(self, url: httpx.URL, known: Validators, draw: Draw) -> FetchedPhoto | str | None:
        """The file, None when it is the one that is known, or where a redirect leads."""
        host = url.raw_host.decode("ascii")
        addresses = await self._resolve(host, url.port or _PORTS[url.scheme])
        if not addresses or not all(self._is_allowed(address) for address in addresses):
            raise _Refused("address")
        # One transport for each: a connection is never shared with another host that has the same address.
        for address in addresses[:_MAX_ADDRESSES]:
            pace = UnhurriedBackend()
            async with self._transport(pace) as transport:
                try:
                    request = self._request(url, host, address, known, pace)
                    response = await transport.handle_async_request(request)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    continue
                return await self._read(response, draw)
        raise _Refused("connection")

    def _transport(self, pace: UnhurriedBackend) -> httpx.AsyncHTTPTransport:
        transport = httpx.AsyncHTTPTransport(verify=self._context(), trust_env=False)
        transport._pool._network_backend = pace
        return transport

    def _request(
        self, url: httpx.URL, host: str, address: str, known: Validators, pace: UnhurriedBackend
    ) -> httpx.Request:
        """Goes to the address, but is meant for the host: in its header, in TLS, and in the certificate's check."""
        seconds = self._seconds / _MAX_ADDRESSES
        conditions = {"if-none-match": known.etag, "if-modified-since": known.last_modified}
        return httpx.Request(
            "GET",
            url.copy_with(host=address, fragment=None),
            headers={
                **_HEADERS,
                **{name: value for name, value in conditions.items() if value is not None},
                "host": url.netloc.decode("ascii"),
            },
            extensions={
                "sni_hostname": host,
                "trace": pace.trace,
                "timeout": {"connect": seconds, "read": self._seconds, "write": seconds, "pool": seconds},
            },
        )

    async def _read(self, response: httpx.Response, draw: Draw) -> FetchedPhoto | str | None:
        if response.status_code in _REDIRECTS and "location" in response.headers:
            return response.headers["location"]
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return None
        if response.status_code != httpx.codes.OK:
            raise _Refused("status")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise _Refused("encoding")
        body = bytearray()
        async for chunk in response.aiter_raw():
            if len(body) + len(chunk) > self._max_bytes:
                raise _Refused("size")
            body += chunk
            await draw(len(body))
            await pause_after(chunk)  # many chunks may come in one piece
        headers = response.headers
        return FetchedPhoto(bytes(body), Validators(_sane(headers.get("etag")), _sane(headers.get("last-modified"))))

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        return self._tls


def _sane(validator: str | None) -> str | None:
    """A stranger's header is kept in our database only if it is short and plain."""
    if validator is None or len(validator) > _MAX_VALIDATOR_CHARS:
        return None
    return validator if validator.isascii() and validator.isprintable() else None
