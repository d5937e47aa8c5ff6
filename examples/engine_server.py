"""A model of your own behind TRYON_ENGINE=http; docs/engines.md explains every step.

    ENGINE_TOKEN=… python examples/engine_server.py my_model try_on 9000

`my_model.py` holds `def try_on(person: PIL.Image.Image, garment: PIL.Image.Image) -> PIL.Image.Image`. It may raise
ValueError for pictures that it cannot use, and PermissionError for a result that must not be shown.
"""

import base64
import hmac
import importlib
import io
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

MAX_BODY_BYTES = 30_000_000  # two pictures of at most 2000 x 2000 pixels, in base64
MAX_WAITING = 8  # the service tries again later; a queue that is longer than its time-out helps nobody


class Handler(BaseHTTPRequestHandler):
    """Answers `POST …:predict`, one picture at a time: that is what a GPU does."""

    model, token = None, ""
    turn, room = threading.Lock(), threading.Semaphore(MAX_WAITING)

    def do_POST(self):
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(min(size, MAX_BODY_BYTES + 1))
        given = self.headers.get("authorization", "").removeprefix("Bearer ")
        if self.token and not hmac.compare_digest(given.encode(), self.token.encode()):
            self.answer(401, {"error": {"code": 401}})
        elif size > MAX_BODY_BYTES:
            self.answer(413, {"error": {"code": 413}})
        elif not self.room.acquire(blocking=False):
            self.answer(429, {"error": {"code": 429}})
        else:
            try:
                self.answer(*self.predict(body))
            finally:
                self.room.release()

    def predict(self, body):
        try:
            instance = json.loads(body)["instances"][0]
            person, garment = picture(instance["personImage"]), picture(instance["productImages"][0])
            with self.turn:
                result = io.BytesIO()
                self.model(person, garment).convert("RGB").save(result, "JPEG", quality=92)
        except PermissionError as reason:
            return 200, {"predictions": [{"raiFilteredReason": str(reason)}]}
        except (ValueError, LookupError, TypeError, Image.UnidentifiedImageError) as error:
            return 400, {"error": {"code": 400, "message": type(error).__name__}}
        except Exception as error:  # out of memory, for example: the service tries again
            return 500, {"error": {"code": 500, "message": type(error).__name__}}
        encoded = base64.b64encode(result.getvalue()).decode()
        return 200, {"predictions": [{"mimeType": "image/jpeg", "bytesBase64Encoded": encoded}]}

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())


def picture(holder):
    """Nothing but JPEGs comes from the service."""
    return Image.open(io.BytesIO(base64.b64decode(holder["image"]["bytesBase64Encoded"])), formats=["JPEG"])


if __name__ == "__main__":
    module, function, port = sys.argv[1:]
    Handler.model = staticmethod(getattr(importlib.import_module(module), function))
    Handler.token = os.environ.get("ENGINE_TOKEN", "")
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
