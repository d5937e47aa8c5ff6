"""Fetch photos by URL without becoming a stranger's way into our own network (SSRF)."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import httpx
import structlog

from adapters.url_fetching.name_resolution import NameResolver
from adapters.url_fetching.public_addresses import is_public
from application.body_memory import BodyClaim, BodyMemory
from application.ports.try_on import Fetch, FetchedPhoto, PhotoFetcher, UrlNotFetched, Validators
from domain.account import AccountId

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
            async with httpx.AsyncHTTPTransport(verify=self._context(), trust_env=False) as transport:
                try:
                    response = await transport.handle_async_request(self._request(url, host, address, known))
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    continue
                return await self._read(response, draw)
        raise _Refused("connection")

    def _request(self, url: httpx.URL, host: str, address: str, known: Validators) -> httpx.Request:
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
