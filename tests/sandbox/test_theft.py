"""One account's photo takes over the decoder to get at another account's: it never sees but its own pixels."""

import asyncio
import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from litestar.testing import TestClient
from PIL import Image

from adapters.memory.surroundings import InMemoryObjectStore
from adapters.memory.unit_of_work import InMemoryUnitOfWork
from entrypoints.http.app import create_app
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.http.conftest import API, account_with_key
from tests.sandbox.hostile import STEAL, TakenOverDecoder
from tests.sandbox.pools import a_processor

RED, BLUE = (220, 40, 40), (40, 40, 220)
ROUNDS = 6


def a_photo(color: tuple[int, int, int], more: bytes = b"") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (160, 200), color).save(out, "JPEG", comment=more)
    return out.getvalue()


VICTIMS, THIEFS = a_photo(RED), a_photo(BLUE, STEAL)


def color_of(jpeg: bytes) -> str:
    red, _, blue = Image.open(io.BytesIO(jpeg)).convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    return "red" if red > blue else "blue"


def test_it_works_where_photos_share_a_process() -> None:
    """Or the test below would say nothing."""
    decoder = TakenOverDecoder()
    decoder.open(VICTIMS)
    stolen = decoder.open(THIEFS).encode(None, 2000)
    assert color_of(stolen.jpeg) == "red"


def test_a_taken_over_decoder_answers_with_nothing_but_its_own_photo(tmp_path: Path) -> None:
    container = Container(
        settings=Settings(data_dir=tmp_path, public_url="http://photos.test", rate_limit_per_minute=0),
        objects=InMemoryObjectStore(),
        work=InMemoryUnitOfWork(),
        processor=a_processor(workers=2, decoder=("taken_over_decoder", None)),
    )
    victim, thief = (asyncio.run(account_with_key(container, name)) for name in ("victim", "thief"))
    with TestClient(create_app(container), base_url="http://photos.test") as client:

        def kept(key: str, photo: bytes) -> Any:
            files, headers = {"file": ("photo.jpg", photo)}, {"x-api-key": key}
            answer = client.post(f"{API}/images/upload", files=files, data={"crop": "false"}, headers=headers)
            assert answer.status_code == 201, answer.text
            return color_of(client.get(answer.json()["imageUrl"]).content)

        with ThreadPoolExecutor(4) as pool:
            victims = [pool.submit(kept, victim, VICTIMS) for _ in range(ROUNDS)]
            thefts = [pool.submit(kept, thief, THIEFS) for _ in range(ROUNDS)]
            assert [each.result() for each in victims] == ["red"] * ROUNDS
            assert [each.result() for each in thefts] == ["blue"] * ROUNDS
