"""The example of an adapter server (docs/engines.md), run as an operator runs it, behind the engine `http`."""

import base64
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from application.ports.try_on import TryOnEngine
from domain.errors import ContentFiltered, EngineMisconfigured, EngineRefused, EngineUnavailable
from domain.geometry import Size
from entrypoints.wiring.container import build_engine
from entrypoints.wiring.environment import load_settings
from tests.free_port import free_port
from tests.http.conftest import a_jpeg, an_in_process_processor
from tests.patience import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "examples" / "engine_server.py"
PAGE = (ROOT / "docs" / "engines.md").read_text()
TOKEN = "a-token-of-the-engine"
PERSON, GARMENT = a_jpeg(80, 100), a_jpeg(30, 30)
MODEL = '''
def try_on(person, garment):
    """Garments of odd sizes stand for what a model may do besides a picture."""
    if garment.width == 31:
        raise ValueError("no garment")
    if garment.width == 32:
        raise PermissionError("unsafe")
    if garment.width == 33:
        raise RuntimeError("CUDA out of memory")
    result = person.copy()
    result.paste(garment, (20, 40))
    return result
'''


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("model"), free_port()
    (folder / "my_model.py").write_text(MODEL)
    running = subprocess.Popen(
        [sys.executable, str(SERVER), "my_model", "try_on", str(port)],
        env={**os.environ, "ENGINE_TOKEN": TOKEN, "PYTHONPATH": str(folder)},
        stderr=subprocess.DEVNULL,
    )
    try:
        until_it_answers(port)
        yield f"http://127.0.0.1:{port}/predict"
    finally:
        running.terminate()
        running.wait(PATIENCE_SECONDS)


def until_it_answers(port: int) -> None:
    def answers() -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        return False

    wait_until(answers)


def engine_at(url: str, token: str = TOKEN) -> TryOnEngine:
    settings = load_settings(
        {
            "TRYON_ENGINE": "http",
            "TRYON_ENGINE_URL": url,
            "TRYON_ENGINE_TOKEN": token,
            "TRYON_ENGINE_TIMEOUT_SECONDS": str(int(PATIENCE_SECONDS)),
        }
    )
    return build_engine(settings, an_in_process_processor())


@pytest.fixture
async def engine(server: str) -> AsyncIterator[TryOnEngine]:
    engine = engine_at(server)
    yield engine
    await engine.close()


async def test_a_model_of_ones_own_dresses_the_person(engine: TryOnEngine) -> None:
    picture = await engine.render(PERSON, GARMENT)
    assert picture.size == Size(80, 100)
    assert picture.jpeg != PERSON
    await engine.check()


@pytest.mark.parametrize(
    ("garment_width", "error"), [(31, EngineRefused), (32, ContentFiltered), (33, EngineUnavailable)]
)
async def test_what_a_model_raises_arrives_as_what_it_means(
    engine: TryOnEngine, garment_width: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await engine.render(PERSON, a_jpeg(garment_width, 30))


async def test_another_token_is_refused(server: str) -> None:
    engine = engine_at(server, "another-token")
    with pytest.raises(EngineMisconfigured):
        await engine.render(PERSON, GARMENT)
    await engine.close()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"instances": []}', b'{"instances": [{"personImage": 1}]}'])
def test_a_body_that_is_no_request_is_refused(server: str, body: bytes) -> None:
    answer = httpx.post(server, content=body, headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)


def test_the_server_is_as_short_as_the_page_says() -> None:
    assert len(SERVER.read_text().splitlines()) < 80


def test_the_exchange_on_the_page_is_the_one_that_is_made(server: str) -> None:
    """The request of the page, with real pictures in place of its ellipses, gets the answer of the page."""
    request, answer = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)[:2])
    encoded = httpx.post(server, json=filled(request), headers={"authorization": f"Bearer {TOKEN}"})
    assert keys(encoded.json()) == keys(answer)


def filled(request: dict[str, object]) -> object:
    picture = json.dumps({"bytesBase64Encoded": base64.b64encode(PERSON).decode()})
    return json.loads(re.sub(r'\{"bytesBase64Encoded": "[^"]*"\}', picture, json.dumps(request)))


def keys(value: object) -> object:
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items()}
    return [keys(inner) for inner in value] if isinstance(value, list) else None
