"""Name resolution without a thread for each name: any number of dead names may wait, and block nobody."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

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
