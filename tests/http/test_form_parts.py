"""A form comes in whatever pieces the network makes of it."""

from collections.abc import AsyncIterator, Iterator
from itertools import cycle

import pytest

from domain.errors import FileTooLarge
from entrypoints.http.form_parts import PartLimit, read_parts

CONTENT = bytes(range(256)) * 1200  # some 300 KB: more than one piece
FORM = b"".join(
    b'--edge\r\ncontent-disposition: form-data; name="%b"\r\n\r\n%b\r\n' % part
    for part in ((b"first", CONTENT), (b"second", b"short"))
)
BODY = FORM + b"--edge--\r\n"


async def arriving(sizes: Iterator[int], body: bytes = BODY) -> AsyncIterator[bytes]:
    at = 0
    while at < len(body):
        size = next(sizes)
        yield body[at : at + size]
        at += size


@pytest.mark.parametrize("sizes", [(1,), (1000,), (65_536,), (200_000,), (3, 70_000, 1, 100_000)], ids=str)
async def test_parts_are_whole_and_in_order_however_they_arrive(sizes: tuple[int, ...]) -> None:
    limit = PartLimit(len(CONTENT), FileTooLarge(len(CONTENT)))
    parts = await read_parts("multipart/form-data; boundary=edge", arriving(cycle(sizes)), lambda _: limit, advice="")
    assert parts == [("first", CONTENT), ("second", b"short")]


@pytest.mark.parametrize("sizes", [(1,), (3,), (6, 21, 1, 14), (100_000,)], ids=str)
async def test_lines_that_end_without_a_carriage_return_may_arrive_in_pieces(sizes: tuple[int, ...]) -> None:
    """Some pieces are less than a line, and nothing can be made of them yet."""
    content, limit = CONTENT[:1000], PartLimit(len(CONTENT), FileTooLarge(len(CONTENT)))
    body = b'--edge\ncontent-disposition: form-data; name="file"\n\n%b\n--edge--\n' % content
    stream = arriving(cycle(sizes), body)
    parts = await read_parts("multipart/form-data; boundary=edge", stream, lambda _: limit, advice="")
    assert parts == [("file", content)]


async def test_a_part_is_refused_at_the_first_byte_too_many() -> None:
    limit = PartLimit(len(CONTENT) - 1, FileTooLarge(len(CONTENT) - 1))
    with pytest.raises(FileTooLarge):
        await read_parts("multipart/form-data; boundary=edge", arriving(cycle((5000,))), lambda _: limit, advice="")
