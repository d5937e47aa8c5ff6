"""One of Python's clients: `python client.py requests|httpx|urllib URL PLAN`."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path


def by_requests(url: str, key: str, part: str, photo: bytes) -> tuple[int, bytes]:
    import requests  # noqa: PLC0415 - only the one that is asked for

    answer = requests.post(url, files={part: ("photo.jpg", photo)}, headers={"x-api-key": key}, timeout=60)
    return answer.status_code, answer.content


def by_httpx(url: str, key: str, part: str, photo: bytes) -> tuple[int, bytes]:
    import httpx  # noqa: PLC0415

    answer = httpx.post(url, files={part: ("photo.jpg", photo)}, headers={"x-api-key": key}, timeout=60)
    return answer.status_code, answer.content


def by_urllib(url: str, key: str, part: str, photo: bytes) -> tuple[int, bytes]:
    head = f'--edge\r\nContent-Disposition: form-data; name="{part}"; filename="photo.jpg"\r\n\r\n'.encode()
    headers = {"x-api-key": key, "content-type": "multipart/form-data; boundary=edge"}
    request = urllib.request.Request(url, head + photo + b"\r\n--edge--\r\n", headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read()


def main(which: str, url: str, plan: str) -> None:
    send = {"requests": by_requests, "httpx": by_httpx, "urllib": by_urllib}[which]
    for step in json.loads(Path(plan).read_text()):
        try:
            status, body = send(url, step["key"], step["part"], Path(step["file"]).read_bytes())
            print(step["name"], status, json.loads(body).get("code", "-"))
        except Exception as error:  # whatever a client makes of it is the finding
            print(step["name"], 0, type(error).__name__)


if __name__ == "__main__":
    main(*sys.argv[1:])
