"""One of Python's clients: `python client.py requests|httpx|urllib URL PLAN`."""

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path

Heard = tuple[int, bytes, Mapping[str, str] | Message]
"""Status, body and headers."""


def by_requests(url: str, key: str, part: str, photo: bytes) -> Heard:
    import requests  # noqa: PLC0415 - only the one that is asked for

    answer = requests.post(url, files={part: ("photo.jpg", photo)}, headers={"x-api-key": key}, timeout=60)
    return answer.status_code, answer.content, answer.headers


def by_httpx(url: str, key: str, part: str, photo: bytes) -> Heard:
    import httpx  # noqa: PLC0415

    answer = httpx.post(url, files={part: ("photo.jpg", photo)}, headers={"x-api-key": key}, timeout=60)
    return answer.status_code, answer.content, answer.headers


def by_urllib(url: str, key: str, part: str, photo: bytes) -> Heard:
    head = f'--edge\r\nContent-Disposition: form-data; name="{part}"; filename="photo.jpg"\r\n\r\n'.encode()
    headers = {"x-api-key": key, "content-type": "multipart/form-data; boundary=edge"}
    request = urllib.request.Request(url, head + photo + b"\r\n--edge--\r\n", headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read(), refused.headers


def main(which: str, url: str, plan: str) -> None:
    send = {"requests": by_requests, "httpx": by_httpx, "urllib": by_urllib}[which]
    for step in json.loads(Path(plan).read_text()):
        try:
            status, body, headers = send(url, step["key"], step["part"], Path(step["file"]).read_bytes())
            later = ",retry-after" if "retry-after" in headers else ""
            print(step["name"], status, json.loads(body).get("code", "-") + later)
        except Exception as error:  # whatever a client makes of it is the finding
            print(step["name"], 0, type(error).__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
