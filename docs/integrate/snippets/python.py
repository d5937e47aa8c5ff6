"""Upload a photo, try a product on, wait for the picture. Needs: pip install requests."""

import os
import sys
import time
import uuid
from pathlib import Path

import requests

API = os.environ["TRYON_URL"] + "/tryon/v1"
session = requests.Session()
session.headers["x-api-key"] = os.environ["TRYON_KEY"]


def checked(answer: requests.Response) -> dict:
    result = answer.json()
    if not answer.ok:
        raise RuntimeError(f"{result['code']}: {result['message']} ({result['requestId']})")
    return result


with Path(os.environ["PHOTO"]).open("rb") as photo:
    image = checked(
        session.post(f"{API}/images/upload", files={"file": photo}, data={"externalUserId": "gid://shopify/Customer/1"})
    )
for warning in image["warnings"]:
    print(warning["message"], file=sys.stderr)  # in words for the customer

started = checked(
    session.post(
        f"{API}/try-on",
        headers={"idempotency-key": str(uuid.uuid4())},  # send the same one when you try again
        json={
            "products": [{"externalId": "shirt-1", "images": [{"source": {"url": os.environ["SHIRT_URL"]}}]}],
            "person": {"image": {"source": {"id": image["imageId"]}}},
        },
    )
)
while True:
    time.sleep(2)
    generation = checked(session.get(f"{API}/generations/{started['generationId']}"))
    if generation["status"] in {"COMPLETED", "FAILED"}:
        break
if generation["status"] == "FAILED":
    raise RuntimeError(generation["errorMessage"])
print(generation["resultImageUrl"])
