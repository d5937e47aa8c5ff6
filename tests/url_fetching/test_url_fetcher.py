"""Fetching by URL from a web that means us no good."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from adapters import url_fetcher
from adapters.url_fetcher import NameResolver, UrlFetcher, is_public
from application.fair_shares import BodyMemory
from application.ports.try_on import Fetch, UrlNotFetched, Validators
from domain.account import AccountId
from domain.errors import Overloaded
from tests.builders import ACME
from tests.patience import PATIENCE_SECONDS
from tests.url_fetching.local_web import LOOPBACK, LocalWeb, answering
from tests.url_fetching.test_public_addresses import REFUSED

OPEN_REQUESTS = ExitStack()
PHOTO = b"\xff\xd8 a photo"


class Names:
    """A resolver that answers from a list, one answer after the other, the last one for good."""

    def __init__(self, **answers: list[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): answer for name, answer in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._answers.get(host, [[LOOPBACK]])
        return answers.pop(0) if len(answers) > 1 else answers[0]


def is_allowed_here(address: str) -> bool:
    """The real check, but for the one address at which the test's web listens."""
    return address == LOOPBACK or is_public(address)


@pytest.fixture
async def web(tmp_path: Path) -> AsyncIterator[LocalWeb]:
    web = LocalWeb(tmp_path, {"shop.test/photo.jpg": answering(PHOTO)})
    async with web.running("shop.test", "cdn.test"):
        yield web


def a_fetcher(web: LocalWeb, names: Names | None = None, **more: Any) -> UrlFetcher:
    defaults: dict[str, Any] = {
        "max_bytes": 100_000,
        "memory": BodyMemory(1_000_000, 100_000),
        "seconds": PATIENCE_SECONDS,
        "resolver": names or Names(),
        "is_allowed": is_allowed_here,
        "ports": frozenset({web.port, 443}),
        "tls": web.client_context(),
    }
    return UrlFetcher(**{**defaults, **more})


def a_fetch(fetcher: UrlFetcher) -> Fetch:
    """Of a request that does not end before the test."""
    return OPEN_REQUESTS.enter_context(fetcher.for_one_request(ACME))


async def fetched(fetch: Fetch, url: str) -> bytes:
    found = await fetch(url)
    assert found is not None
    return bytes(found.photo)


async def refuses(fetcher: UrlFetcher, url: str) -> None:
    with pytest.raises(UrlNotFetched) as refusal:
        await a_fetch(fetcher)(url)
    assert str(refusal.value) == ""
    assert refusal.value.__cause__ is None


async def test_a_photo_is_fetched_with_the_hosts_own_name_and_certificate(web: LocalWeb) -> None:
    assert await fetched(a_fetch(a_fetcher(web)), web.url("shop.test/photo.jpg")) == PHOTO
    head = web.requests[0].lower()
    assert f"host: shop.test:{web.port}\r\n" in head
    assert web.server_names == ["shop.test"]
    assert "cookie" not in head
    assert "authorization" not in head
    assert "accept-encoding: identity\r\n" in head
    assert "accept: image/jpeg, image/png, image/webp;q=0.9, image/heic\r\n" in head


async def test_a_certificate_for_another_host_is_refused(web: LocalWeb) -> None:
    web.pages["evil.test/photo.jpg"] = answering(PHOTO)
    await refuses(a_fetcher(web), web.url("evil.test/photo.jpg"))
    assert web.requests == []


async def test_a_certificate_of_an_unknown_authority_is_refused(web: LocalWeb) -> None:
    await refuses(a_fetcher(web, tls=None), web.url("shop.test/photo.jpg"))
    assert web.requests == []


@pytest.mark.parametrize("address", [address for addresses in REFUSED.values() for address in addresses])
async def test_a_name_with_one_forbidden_address_among_good_ones_is_refused(web: LocalWeb, address: str) -> None:
    names = Names(shop_test=[["8.8.8.8", address]])
    await refuses(a_fetcher(web, names, is_allowed=is_public), web.url("shop.test/photo.jpg"))
    assert web.requests == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0"],
)
async def test_this_machine_is_refused_however_it_is_spelled(web: LocalWeb, host: str) -> None:
    fetcher = a_fetcher(web, is_allowed=is_public, resolver=NameResolver())
    await refuses(fetcher, f"https://{host}:{web.port}/photo.jpg")
    assert web.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.test:{port}/photo.jpg",
        "ftp://shop.test:{port}/photo.jpg",
        "file:///etc/passwd",
        "gopher://shop.test:{port}/",
        "https://user:password@shop.test:{port}/photo.jpg",
        "https://user@shop.test:{port}/photo.jpg",
        "https://shop.test:22/photo.jpg",
        "https://shop.test:6379/photo.jpg",
        "https:///photo.jpg",
        "https://",
        "photo.jpg",
        "https://[::1/photo.jpg",
        "https://shop.test:99999/photo.jpg",
        "https://shop.test:{port}/photo.jpg?" + "a" * 2048,
        "\0",
    ],
)
async def test_a_url_of_another_kind_is_refused_before_anybody_is_asked(web: LocalWeb, url: str) -> None:
    names = Names()
    await refuses(a_fetcher(web, names), url.format(port=web.port))
    assert web.requests == names.asked == []


async def test_a_name_that_changes_its_answer_gains_nothing(web: LocalWeb) -> None:
    """DNS rebinding: the check sees a good address, a second look would see the metadata server."""
    names = Names(shop_test=[[LOOPBACK], ["169.254.169.254"]])
    fetcher = a_fetcher(web, names)
    assert await fetched(a_fetch(fetcher), web.url("shop.test/photo.jpg")) == PHOTO
    assert names.asked == ["shop.test"]
    await refuses(fetcher, web.url("shop.test/photo.jpg"))
    assert len(web.requests) == 1


async def test_a_redirect_is_followed_to_a_place_that_is_checked_again(web: LocalWeb) -> None:
    web.pages["cdn.test/a"] = answering(b"", "302 Found", Location=web.url("shop.test/photo.jpg"))
    names = Names()
    assert await fetched(a_fetch(a_fetcher(web, names)), web.url("cdn.test/a")) == PHOTO
    assert names.asked == ["cdn.test", "shop.test"]
    assert web.server_names == ["cdn.test", "shop.test"]
    web.pages["shop.test/b"] = answering(b"", "307 Temporary Redirect", Location="/photo.jpg", Set_Cookie="a=b")
    assert await fetched(a_fetch(a_fetcher(web)), web.url("shop.test/b")) == PHOTO
    assert "cookie" not in web.requests[-1].lower()


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:169.254.169.254]/",
        "https://10.0.0.1/",
        "https://localhost:{port}/",
        "https://127.0.0.1:{port}/",
        "//127.0.0.1:{port}/photo.jpg",
        "https://user:password@shop.test:{port}/photo.jpg",
        "https://shop.test:8443/photo.jpg",
        "file:///etc/passwd",
        "//127.0.0.1:22/",
    ],
)
async def test_a_redirect_to_a_forbidden_place_is_refused(web: LocalWeb, location: str) -> None:
    web.pages["cdn.test/a"] = answering(b"", "302 Found", Location=location.format(port=web.port))

    async def resolver(host: str, port: int) -> Sequence[str]:
        return [LOOPBACK] if host.endswith(".test") else await NameResolver()(host, port)

    await refuses(a_fetcher(web, resolver=resolver), web.url("cdn.test/a"))
    assert len(web.requests) == 1


async def test_three_redirects_are_followed_and_a_fourth_is_not(web: LocalWeb) -> None:
    for number in range(4):
        web.pages[f"shop.test/{number}"] = answering(b"", "301 Moved", Location=f"/{number + 1}")
    web.pages["shop.test/4"] = answering(PHOTO)
    assert await fetched(a_fetch(a_fetcher(web)), web.url("shop.test/1")) == PHOTO
    await refuses(a_fetcher(web), web.url("shop.test/0"))


async def test_exactly_as_many_bytes_as_allowed_are_read_and_not_one_more(web: LocalWeb) -> None:
    web.pages["shop.test/photo.jpg"] = answering(bytes(1000))
    assert len(await fetched(a_fetch(a_fetcher(web, max_bytes=1000)), web.url("shop.test/photo.jpg"))) == 1000
    await refuses(a_fetcher(web, max_bytes=999), web.url("shop.test/photo.jpg"))


async def test_a_body_without_an_end_is_cut_off(web: LocalWeb) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(10_000))
            sent += 10_000
            await writer.drain()

    web.pages["shop.test/photo.jpg"] = endless
    await refuses(a_fetcher(web), web.url("shop.test/photo.jpg"))
    assert sent < 20_000_000


@pytest.mark.parametrize("drip", [b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
async def test_a_server_that_drips_is_left_when_the_time_is_over(web: LocalWeb, drip: bytes) -> None:
    async def dripping(writer: asyncio.StreamWriter) -> None:
        writer.write(drip)
        for _ in range(1000):
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(b"x")

    web.pages["shop.test/photo.jpg"] = dripping
    await refuses(a_fetcher(web, seconds=0.5), web.url("shop.test/photo.jpg"))  # in 20 s it would be whole


@pytest.mark.parametrize(
    ("head", "flood"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    ],
    ids=["tiny chunks", "interim answers", "header lines"],
)
async def test_a_flood_of_small_things_holds_up_nobody_else(web: LocalWeb, head: bytes, flood: bytes) -> None:
    async def page(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(flood * 5000)
            await writer.drain()

    web.pages["shop.test/photo"] = page
    longest = asyncio.create_task(longest_turn())
    await refuses(a_fetcher(web, seconds=1), web.url("shop.test/photo"))
    longest.cancel()
    assert await longest < 0.5  # on a slow machine, too


async def longest_turn() -> float:
    """The most CPU seconds that passed before this task had its turn again, until it is cancelled."""
    longest = 0.0
    with suppress(asyncio.CancelledError):
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - began)
    return longest


async def test_all_urls_of_a_request_share_its_time(web: LocalWeb) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await answering(PHOTO)(writer)

    async def hanging(_writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(PATIENCE_SECONDS)

    web.pages |= {"shop.test/slow.jpg": slow, "shop.test/hanging.jpg": hanging}
    fetcher = a_fetcher(web, seconds=5)
    fetch = a_fetch(fetcher)
    for _ in range(2):
        assert await fetched(fetch, web.url("shop.test/slow.jpg")) == PHOTO
    with pytest.raises(UrlNotFetched):
        await fetch(web.url("shop.test/hanging.jpg"))
    with pytest.raises(UrlNotFetched):
        await fetch(web.url("shop.test/photo.jpg"))  # it would be fast, but nothing is left
    assert await fetched(a_fetch(fetcher), web.url("shop.test/photo.jpg")) == PHOTO


async def test_a_resolver_that_hangs_is_left_when_the_time_is_over(web: LocalWeb) -> None:
    async def hanging(_host: str, _port: int) -> Sequence[str]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]  # never comes

    await refuses(a_fetcher(web, resolver=hanging, seconds=0.1), web.url("shop.test/photo.jpg"))


@pytest.mark.parametrize("status", ["204 No Content", "206 Partial Content", "302 Found", "404 Not Found", "500 Oops"])
async def test_any_other_answer_is_no_photo(web: LocalWeb, status: str) -> None:
    web.pages["shop.test/photo.jpg"] = answering(PHOTO, status)
    await refuses(a_fetcher(web), web.url("shop.test/photo.jpg"))


async def test_a_compressed_answer_is_not_unpacked(web: LocalWeb) -> None:
    web.pages["shop.test/photo.jpg"] = answering(PHOTO, Content_Encoding="gzip")
    await refuses(a_fetcher(web), web.url("shop.test/photo.jpg"))


async def test_nonsense_instead_of_http(web: LocalWeb) -> None:
    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.9\r\n")

    web.pages["shop.test/photo.jpg"] = nonsense
    await refuses(a_fetcher(web), web.url("shop.test/photo.jpg"))


async def test_an_address_that_does_not_answer_is_followed_by_the_next(web: LocalWeb) -> None:
    names = Names(shop_test=[["127.0.0.78", LOOPBACK]])
    fetcher = a_fetcher(web, names, is_allowed=lambda address: address.startswith("127."))
    assert await fetched(a_fetch(fetcher), web.url("shop.test/photo.jpg")) == PHOTO


async def test_nobody_answers(web: LocalWeb) -> None:
    fetcher = a_fetcher(web, Names(shop_test=[["127.0.0.78"]]), is_allowed=lambda _address: True)
    await refuses(fetcher, web.url("shop.test/photo.jpg"))


async def test_a_name_that_nobody_knows_or_can_know(web: LocalWeb) -> None:
    await refuses(a_fetcher(web, resolver=NameResolver()), "https://does-not-exist.invalid/photo.jpg")
    await refuses(a_fetcher(web, resolver=NameResolver()), "https://" + "a" * 70 + ".test/photo.jpg")
    await refuses(a_fetcher(web, Names(shop_test=[[]])), web.url("shop.test/photo.jpg"))


async def test_proxies_of_the_environment_are_not_asked(web: LocalWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await fetched(a_fetch(a_fetcher(web)), web.url("shop.test/photo.jpg")) == PHOTO


async def test_what_a_server_said_of_a_photo_is_sent_back_and_304_means_the_same_photo(
    web: LocalWeb,
) -> None:
    web.pages["shop.test/photo.jpg"] = answering(PHOTO, ETag='"v1"', Last_Modified="Sun, 22 Nov 2026 12:00:00 GMT")
    found = await a_fetch(a_fetcher(web))(web.url("shop.test/photo.jpg"))
    assert found is not None
    assert found.validators == Validators('"v1"', "Sun, 22 Nov 2026 12:00:00 GMT")
    web.pages["shop.test/photo.jpg"] = answering(b"", "304 Not Modified")
    assert await a_fetch(a_fetcher(web))(web.url("shop.test/photo.jpg"), found.validators) is None
    head = web.requests[-1].lower()
    assert 'if-none-match: "v1"\r\n' in head
    assert "if-modified-since: sun, 22 nov 2026 12:00:00 gmt\r\n" in head
    await refuses(a_fetcher(web), web.url("shop.test/photo.jpg"))  # nobody asked whether it was modified


async def test_a_validator_that_is_no_sane_header_is_not_kept(web: LocalWeb) -> None:
    web.pages["shop.test/photo.jpg"] = answering(PHOTO, ETag='"' + "x" * 300 + '"')
    found = await a_fetch(a_fetcher(web))(web.url("shop.test/photo.jpg"))
    assert found is not None
    assert found.validators == Validators()


async def given(memory: BodyMemory, account_id: AccountId, size_bytes: int) -> ExitStack:
    """Bodies that take so much of the memory until the stack is closed."""
    held = ExitStack()
    claim = held.enter_context(memory.claim(account_id, size_bytes))
    await claim.draw(size_bytes)
    return held


async def test_a_file_takes_memory_as_it_arrives_and_gives_it_back_when_its_request_ends(web: LocalWeb) -> None:
    memory = BodyMemory(1_000_000, 100_000)
    with a_fetcher(web, memory=memory).for_one_request(ACME) as fetch:
        for _ in range(3):  # one after the other: they need what one of them does
            assert await fetched(fetch, web.url("shop.test/photo.jpg")) == PHOTO
            assert memory.held_bytes == len(PHOTO)
    assert memory.held_bytes == 0


async def test_a_file_waits_for_memory_and_that_time_is_not_its_own(web: LocalWeb) -> None:
    memory = BodyMemory(400_000, 100_000)
    held = [await given(memory, AccountId(name), 100_000) for name in "abcd"]
    with a_fetcher(web, memory=memory, seconds=2).for_one_request(ACME) as fetch:
        fetching = asyncio.create_task(fetched(fetch, web.url("shop.test/photo.jpg")))
        await asyncio.sleep(2.5)
        assert not fetching.done()
        held.pop().close()
        assert await fetching == PHOTO
    while held:
        held.pop().close()
    assert memory.held_bytes == 0


async def test_a_file_for_which_there_is_no_memory_is_our_fault(web: LocalWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(url_fetcher, "MEMORY_SECONDS", 0.05)
    memory = BodyMemory(400_000, 100_000)
    held = [await given(memory, AccountId(name), 100_000) for name in "abcd"]
    with a_fetcher(web, memory=memory).for_one_request(ACME) as fetch, pytest.raises(Overloaded):
        await fetch(web.url("shop.test/photo.jpg"))
    for stack in held:
        stack.close()
