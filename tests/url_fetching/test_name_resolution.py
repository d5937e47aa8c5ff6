"""Looking up names at a name server that leaves some questions without an answer."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.url_fetcher import NameResolver
from tests.patience import PATIENCE_SECONDS

HEADER_BYTES = 12
A, AAAA = 1, 28
ANSWERS = {A: socket.inet_pton(socket.AF_INET, "8.8.8.8"), AAAA: socket.inet_pton(socket.AF_INET6, "2606:4700::1")}


class NameServer(asyncio.DatagramProtocol):
    """Knows every name but those that begin with "dead", for which nobody ever answers, and "unknown"."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, question: bytes, asker: tuple[str, int]) -> None:
        end = question.index(0, HEADER_BYTES)
        name = "".join(chr(byte) if byte > 31 else "." for byte in question[HEADER_BYTES + 1 : end])
        self.asked.append(name)
        if name.startswith("dead"):
            return
        asked, kind = question[HEADER_BYTES : end + 5], int.from_bytes(question[end + 1 : end + 3], "big")
        if name.startswith("unknown"):
            answer = question[:2] + b"\x81\x83\0\1\0\0\0\0\0\0" + asked
        else:
            record = b"\xc0\x0c" + question[end + 1 : end + 5] + bytes(4) + bytes([0, len(ANSWERS[kind])])
            answer = question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + asked + record + ANSWERS[kind]
        self._transport.sendto(answer, asker)


@pytest.fixture
async def server() -> AsyncIterator[tuple[NameServer, str]]:
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        NameServer, local_addr=("127.0.0.1", 0)
    )
    yield protocol, f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    transport.close()


async def test_all_addresses_of_a_name_are_found_ipv4_first(server: tuple[NameServer, str]) -> None:
    assert await NameResolver([server[1]])("shop.test", 443) == ["8.8.8.8", "2606:4700::1"]


async def test_a_hundred_dead_names_keep_nobody_waiting(server: tuple[NameServer, str]) -> None:
    resolver = NameResolver([server[1]])
    dead = [asyncio.create_task(resolver(f"dead{number}.test", 443)) for number in range(100)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await resolver("shop.test", 443) == ["8.8.8.8", "2606:4700::1"]
    assert not any(task.done() for task in dead)
    for task in dead:
        task.cancel()
    await asyncio.gather(*dead, return_exceptions=True)


async def test_a_name_that_is_unknown_or_no_name_is_an_error_of_the_network(server: tuple[NameServer, str]) -> None:
    for host in ("unknown.test", "x..y", "a" * 70 + ".test"):
        with pytest.raises(OSError):  # noqa: PT011 - its text is nobody's business
            await NameResolver([server[1]])(host, 443)


async def test_no_search_domain_makes_another_name_of_it(server: tuple[NameServer, str]) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - its text is nobody's business
        await NameResolver([server[1]])("unknown", 443)
    assert set(server[0].asked) == {"unknown"}


async def test_an_address_stands_for_itself() -> None:
    assert await NameResolver()("127.0.0.1", 443) == ["127.0.0.1"]
    assert await NameResolver()("::1", 443) == ["::1"]
