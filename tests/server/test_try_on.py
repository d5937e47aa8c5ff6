"""A try-on as a shop meets it: one command, sandboxed workers, the sandbox engine, a real person, a drawn shirt."""

import io
import json
import threading
import time
from typing import Any

import httpx
import numpy as np
import skimage.data
from PIL import Image, ImageDraw

from tests.patience import PATIENCE_SECONDS
from tests.server.test_serve import KEY, Server, server

__all__ = ["server"]

HEADERS = {"x-api-key": KEY}
BLUE = (30, 110, 170)


def a_photo() -> bytes:
    out = io.BytesIO()
    Image.fromarray(skimage.data.astronaut()).resize((1024, 1024)).save(out, "JPEG", quality=92)
    return out.getvalue()


def a_shirt() -> bytes:
    picture = Image.new("RGB", (900, 900), "white")
    sleeves_and_body = [(330, 150), (200, 200), (80, 400), (180, 470), (240, 390), (240, 800), (660, 800), (660, 390)]
    rest = [(720, 470), (820, 400), (700, 200), (570, 150), (520, 190), (450, 205), (380, 190)]
    ImageDraw.Draw(picture).polygon([*sleeves_and_body, *rest], fill=BLUE)
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def poll(server: Server, started: httpx.Response) -> dict[str, Any]:
    assert started.status_code == 202, started.text
    url = f"{server.url}/tryon/v1/generations/{started.json()['generationId']}"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        body: dict[str, Any] = httpx.get(url, headers=HEADERS).json()
        if body["status"] in {"COMPLETED", "FAILED"}:
            return body
        assert time.monotonic() < deadline, body
        threading.Event().wait(0.2)


def picture(url: str) -> Image.Image:
    return Image.open(io.BytesIO(httpx.get(url).content))


def test_a_form_with_a_photo_and_a_shirt_becomes_a_picture_of_both_and_json_dresses_the_same_person_again(
    server: Server,
) -> None:
    uploaded = server.upload(a_photo(), externalUserId="wearer").json()
    person = {"image": {"source": {"id": uploaded["imageId"]}}}
    data = json.dumps({"products": [{"externalId": "s", "images": [{"source": {"fileKey": "f"}}]}], "person": person})
    form = {"data": (None, data.encode()), "f": ("shirt.png", a_shirt())}
    done = poll(server, httpx.post(f"{server.url}/tryon/v1/try-on", files=form, headers=HEADERS))
    assert (done["status"], done["engine"]) == ("COMPLETED", "sandbox")
    before, after = picture(uploaded["imageUrl"]), picture(done["resultImageUrl"])
    assert (after.format, after.size) == ("JPEG", before.size)
    width, height = after.size
    kept = np.asarray(before, int)[: height // 2] - np.asarray(after, int)[: height // 2]
    assert np.abs(kept).mean() < 4  # nobody's face is touched
    inset = np.asarray(after.crop((int(0.75 * width), int(0.75 * height), int(0.85 * width), int(0.8 * height))))
    assert inset.mean(axis=(0, 1)).argmax() == 2  # the blue shirt

    again = {"products": [{"externalId": "s"}], "person": person}
    done = poll(server, httpx.post(f"{server.url}/tryon/v1/try-on", json=again, headers=HEADERS))
    assert picture(done["resultImageUrl"]).size == before.size

    httpx.delete(
        f"{server.url}/tryon/v1/customers/wearer", headers=HEADERS, timeout=PATIENCE_SECONDS
    ).raise_for_status()
    assert httpx.get(done["resultImageUrl"]).status_code == 404
    assert {path.parent.name for path in server.stored()} <= {"ttl-30d"}


def test_a_product_called_mock_answers_with_the_persons_picture(server: Server) -> None:
    uploaded = server.upload(a_photo()).json()
    product = {"title": "mock", "images": [{"fileKey": "f"}]}
    data = {"product": product, "person": {"image": {"source": {"id": uploaded["imageId"]}}}}
    form = {"data": (None, json.dumps(data).encode()), "f": ("f", a_shirt())}
    done = poll(server, httpx.post(f"{server.url}/tryon/v1/try-on", files=form, headers=HEADERS))
    shown = [httpx.get(url).content for url in (uploaded["imageUrl"], done["resultImageUrl"])]
    assert shown[0] == shown[1]


def test_our_own_network_is_out_of_reach_and_the_person_is_looked_at_first(server: Server) -> None:
    mine, theirs = server.url + "/health/live", "https://localhost/"
    stored = {"id": server.upload(a_photo()).json()["imageId"]}
    for person, code in (({"url": theirs}, "CUSTOMER_IMAGE_FETCH_FAILED"), (stored, "PRODUCT_IMAGE_FETCH_FAILED")):
        for address in (mine, theirs):
            body = {"products": [{"imageUrls": [address]}], "person": person}
            answer = httpx.post(f"{server.url}/tryon/v1/try-on", json=body, headers=HEADERS)
            assert (answer.status_code, answer.json()["code"]) == (400, code)
