"""V4 signed URLs, checked the way Google checks them: against the public key, over the canonical request."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.auth import compute_engine
from google.auth.credentials import AnonymousCredentials
from google.oauth2 import service_account
from requests.adapters import HTTPAdapter

from adapters.object_storage.gcs import GcsLinks, GcsObjectStore
from adapters.object_storage.gcs_bucket import GcsBucket
from adapters.object_storage.gcs_rules import GcsStorageRules
from domain.errors import Overloaded
from tests.builders import an_image

EMAIL = "photos@project.iam.gserviceaccount.com"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def in_minutes(minutes: float) -> datetime:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).replace(microsecond=0)


def check_signature(url: str) -> None:
    """Raises: InvalidSignature. Source: "V4 signing process", Google Cloud Storage documentation."""
    parts = urlsplit(url)
    unsigned, _, signature = parts.query.rpartition("&X-Goog-Signature=")
    query = parse_qs(unsigned)
    canonical = "\n".join(["GET", parts.path, unsigned, f"host:{parts.netloc}", "", "host", "UNSIGNED-PAYLOAD"])
    scope = query["X-Goog-Credential"][0].removeprefix(f"{EMAIL}/")
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signed = "\n".join(["GOOG4-RSA-SHA256", query["X-Goog-Date"][0], scope, digest])
    KEY.public_key().verify(bytes.fromhex(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())


def end_of(url: str) -> datetime:
    query = parse_qs(urlsplit(url).query)
    begin = datetime.strptime(query["X-Goog-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return begin + timedelta(seconds=int(query["X-Goog-Expires"][0]))


def with_a_key() -> service_account.Credentials:
    pem = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    info = {"client_email": EMAIL, "private_key": pem, "token_uri": "https://token.test", "type": "service_account"}
    credentials: service_account.Credentials = service_account.Credentials.from_service_account_info(info)
    return credentials


@dataclass
class GoogleCloud:
    """The metadata server and IAM, as a process without a key sees them."""

    may_sign: bool = True
    tokens: int = 0
    signed: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        if path.endswith(":signBlob") and method == "POST":
            return self._sign(path, headers, body)
        if path.endswith("/token"):
            self.tokens += 1
            return 200, {"access_token": f"token-{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}
        if "/service-accounts/" in path:
            return 200, {"email": EMAIL, "aliases": ["default"], "scopes": ["cloud-platform"]}
        return 404, {}

    def _sign(self, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        if not self.may_sign:
            return 403, {"error": {"code": 403, "status": "PERMISSION_DENIED"}}
        if path != f"/v1/projects/-/serviceAccounts/{EMAIL}:signBlob" or headers["authorization"] != "Bearer token-1":
            return 401, {"error": {"code": 401, "status": "UNAUTHENTICATED"}}
        payload = base64.b64decode(json.loads(body)["payload"])
        self.signed.append(payload.decode())
        signature = KEY.sign(payload, padding.PKCS1v15(), hashes.SHA256())
        return 200, {"keyId": "1", "signedBlob": base64.b64encode(signature).decode()}


class Rerouted(HTTPAdapter):
    """Sends everything to one server, whatever the URL says."""

    def __init__(self, to: str) -> None:
        super().__init__()
        self._to = to

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        request.url = self._to + urlsplit(str(request.url)).path
        return super().send(request, *arguments, **options)


@contextmanager
def rerouted_to(cloud: GoogleCloud) -> Iterator[requests.Session]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, content = cloud.answer(self.command, self.path, self.headers, body)
            self.send_response(status)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_GET = do_POST = answer  # noqa: N815 - the standard library's names

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - as above
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, Rerouted(f"http://127.0.0.1:{server.server_address[1]}"))
    try:
        yield session
    finally:
        session.close()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def cloud() -> GoogleCloud:
    return GoogleCloud()


@pytest.fixture
def keyless(cloud: GoogleCloud) -> Iterator[GcsLinks]:
    with rerouted_to(cloud) as session:
        yield GcsLinks(
            GcsBucket("gs://photos/shop", credentials=compute_engine.Credentials(universe_domain="googleapis.com")),
            iam=session,
        )


async def test_a_link_opens_the_object_and_nothing_else_until_it_ends() -> None:
    links = GcsLinks(GcsBucket("gs://photos/shop", credentials=with_a_key()))
    end = in_minutes(15)
    url = await links.sign(an_image(), end)
    assert url.startswith("https://storage.googleapis.com/photos/shop/ttl-7d/img_1.jpg?")
    check_signature(url)
    assert end - timedelta(seconds=2) <= end_of(url) <= end


async def test_a_link_without_a_key_is_signed_through_iam(keyless: GcsLinks, cloud: GoogleCloud) -> None:
    end = in_minutes(15)
    first, second = await keyless.sign(an_image(), end), await keyless.sign(an_image("img_2"), end)
    check_signature(first)
    check_signature(second)
    assert end_of(second) <= end
    assert len(cloud.signed) == 2
    assert cloud.tokens == 1, "the token is kept as long as it is valid"


async def test_a_missing_signing_role_is_loud_and_comes_with_the_command_that_grants_it(
    keyless: GcsLinks, cloud: GoogleCloud
) -> None:
    cloud.may_sign = False
    with pytest.raises(Overloaded, match=r"^Storage is not reachable. Try again shortly.$"):
        await keyless.sign(an_image(), in_minutes(15))
    bucket = GcsBucket("gs://photos", credentials=AnonymousCredentials(), deadline_seconds=0.1)
    finding = (await GcsStorageRules(bucket, GcsObjectStore(bucket), keyless).check())[1]
    assert (finding.check, finding.is_ok) == ("bucket: sign links", False)
    assert "--role=roles/iam.serviceAccountTokenCreator" in finding.fix


async def test_credentials_of_nobody_cannot_sign() -> None:
    links = GcsLinks(GcsBucket("gs://photos", credentials=AnonymousCredentials()))
    with pytest.raises(Overloaded):
        await links.sign(an_image(), in_minutes(15))


@pytest.mark.parametrize("prefix", ["", "shop/", "my shop/eu/", "größe+1/"])
async def test_our_own_links_are_known_again_whatever_the_prefix(prefix: str) -> None:
    links = GcsLinks(GcsBucket(f"gs://photos/{prefix}", credentials=with_a_key()))
    url = await links.sign(an_image(), in_minutes(15))
    check_signature(url)
    now = datetime.now(UTC)
    assert links.image_shown_by(url, now) == an_image().image_id
    assert links.image_shown_by(url, now + timedelta(minutes=20)) is None
    assert links.image_shown_by(url.replace("/photos/", "/others/"), now) is None
