"""Objects in a bucket of Google Cloud Storage, and V4 signed URLs by which Google serves them itself."""

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from threading import Lock
from typing import Final
from urllib.parse import parse_qs, unquote

import google_crc32c
import requests
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.auth.credentials import Credentials, Signing
from google.auth.exceptions import GoogleAuthError
from google.auth.iam import Signer as IamSigner
from google.auth.transport.requests import Request
from google.cloud.storage import Blob, Bucket

from adapters.object_storage.gcs_bucket import ATTEMPT, RETRY, RETRY_CREATE, Cause, GcsBucket
from domain.errors import Overloaded
from domain.image import ImageId, UploadedImage, image_id_in

BATCH = 100
"""Deletions in one request: the JSON API's documented limit."""
PAGE = 1000
NO_CACHE: Final = "private, no-store"
"""A cache that kept the picture would keep it longer than we promised."""
NO_BATCHES: Final = frozenset({Cause.NOT_FOUND, Cause.NOT_IMPLEMENTED})
"""What servers that only resemble Google's say of the batch endpoint (404, 405, 501)."""
PROBES: Final = "probes/"
"""Where readiness is tried; has a lifecycle rule of its own for what a killed process leaves."""


class GcsObjectStore:
    """Strongly consistent; every object is whole or not there, and is created once and never overwritten."""

    def __init__(self, bucket: GcsBucket) -> None:
        self._bucket = bucket
        self._takes_batches = True

    async def put(self, name: str, data: bytes) -> None:
        await self._bucket.call(partial(_create, self._bucket.full_name(name), data))

    async def get(self, name: str) -> bytes | None:
        return await self._bucket.call(partial(_read, self._bucket.full_name(name)))

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        wanted = list(names)
        batches = (wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH))
        left = await asyncio.gather(*(self._delete(batch) for batch in batches))
        return frozenset().union(*left)

    async def names(self, after: str = "") -> AsyncIterator[str]:
        pages = await self._bucket.call(partial(_pages, self._bucket.full_name(""), after))
        while (page := await self._bucket.call(lambda _bucket: next(pages, None))) is not None:
            for name in page:
                if name > after:  # the API's own start is inclusive
                    yield name

    async def sweep(self, now: datetime) -> None:
        """An interrupted upload leaves nothing behind, and lifecycle rules delete what outlived its class."""

    async def check(self) -> None:
        probe = f"{PROBES}{secrets.token_hex(8)}"
        await self.put(probe, b"probe")
        await self._bucket.call(partial(_delete_one, self._bucket.full_name(probe)))

    async def _delete(self, names: list[str]) -> frozenset[str]:
        """By a batch; one by one where there are no batches, or where the batch's answer says too little."""
        if not self._takes_batches:
            return await self._delete_singly(names)
        try:
            are_gone = await self._bucket.call(partial(_delete_batch, [self._bucket.full_name(name) for name in names]))
        except Overloaded as outage:
            self._takes_batches = outage.cause not in NO_BATCHES
            if self._takes_batches and outage.cause != Cause.UNREADABLE:
                return frozenset(names)
            return await self._delete_singly(names)
        return frozenset(name for name, is_gone in zip(names, are_gone, strict=True) if not is_gone)

    async def _delete_singly(self, names: list[str]) -> frozenset[str]:
        async def is_left(name: str) -> bool:
            try:
                await self._bucket.call(partial(_delete_one, self._bucket.full_name(name)))
            except Overloaded:
                return True
            return False

        are_left = await asyncio.gather(*map(is_left, names))
        return frozenset(name for name, left in zip(names, are_left, strict=True) if left)


def _create(name: str, data: bytes, bucket: Bucket) -> None:
    blob = bucket.blob(name)
    blob.cache_control = NO_CACHE
    try:
        blob.upload_from_string(
            data, "image/jpeg", if_generation_match=0, checksum="crc32c", timeout=ATTEMPT, retry=RETRY_CREATE
        )
    except PreconditionFailed:
        # It is there already. Names are random, so it is ours: an attempt whose answer got lost had landed.
        if not _holds(bucket, name, data):
            raise RuntimeError("an object of this name holds something else") from None


def _holds(bucket: Bucket, name: str, data: bytes) -> bool:
    there: Blob | None = bucket.get_blob(name, timeout=ATTEMPT, retry=RETRY)
    checksum = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
    return there is not None and (there.size, there.crc32c) == (len(data), checksum)


def _read(name: str, bucket: Bucket) -> bytes | None:
    try:
        data: bytes = bucket.blob(name).download_as_bytes(checksum="crc32c", timeout=ATTEMPT, retry=RETRY)
    except NotFound as error:
        _expect_bucket(bucket, str(error.message))
        return None
    return data


def _delete_one(name: str, bucket: Bucket) -> None:
    try:
        bucket.blob(name).delete(timeout=ATTEMPT, retry=RETRY)  # deleting twice is the same as deleting once
    except NotFound as error:
        _expect_bucket(bucket, str(error.message))


def _delete_batch(names: list[str], bucket: Bucket) -> list[bool]:
    """Returns: for each name, whether nothing is there any more. Raises: ValueError: the answer says too little."""

    def send() -> list[requests.Response]:
        with bucket.client.batch(raise_exception=False) as batch:
            for name in names:
                bucket.blob(name).delete(timeout=ATTEMPT, retry=None)
        # The library's documentation reads the answers from here too: it offers no other way.
        return list(batch._responses)

    answers = RETRY(send)()
    for absent in (answer for answer in answers if answer.status_code == 404):
        _expect_bucket(bucket, absent.text)
    return [answer.ok or answer.status_code == 404 for answer in answers]


def _expect_bucket(bucket: Bucket, not_found: str) -> None:
    """Raises: NotFound when it is the bucket that is not there.

    A mistyped bucket answers 404 as well; taking that for "the object is gone" would forget living photos. Google says
    which of the two it is, other servers have texts of their own.
    """
    if "No such object" not in not_found:
        next(iter(bucket.list_blobs(max_results=1, fields="items(name)", timeout=ATTEMPT, retry=RETRY)), None)


def _pages(prefix: str, after: str, bucket: Bucket) -> Iterator[list[str]]:
    listing = bucket.list_blobs(
        prefix=f"{prefix}ttl-",
        start_offset=prefix + after if after else None,
        fields="items(name),nextPageToken",
        page_size=PAGE,
        timeout=ATTEMPT,
        retry=RETRY,
    )
    for page in listing.pages:
        yield [blob.name.removeprefix(prefix) for blob in page]


ENDPOINT = "https://storage.googleapis.com"
"""Host of the library's signed URLs."""
SIGN_SECONDS = 5
"""For one call of IAM, which usually answers within 50 ms."""


class CannotSign(GoogleAuthError):
    """These credentials belong to a person, or to nobody."""


class GcsLinks:
    """Signs with the service account's key if there is one, else through IAM (`signBlob`), which needs no key."""

    def __init__(self, bucket: GcsBucket, iam: requests.Session | None = None) -> None:
        self._bucket = bucket
        self._iam = iam or requests.Session()

    async def sign(self, image: UploadedImage, expires_at: datetime) -> str:
        return await self._bucket.call(partial(self._sign, self._bucket.full_name(image.object_name), expires_at))

    def image_shown_by(self, url: str, now: datetime) -> ImageId | None:
        """The image of a link into our bucket; None for any other URL, and for a link that is over.

        The signature is not looked at: whoever names an image has to own it anyway, and its id says as much as the
        link does.
        """
        quoted, _, query = url.partition("?")
        path, given = unquote(quoted), parse_qs(query)
        name = path.removeprefix(f"{ENDPOINT}/{self._bucket.address.bucket}/{self._bucket.address.prefix}")
        try:
            begin = datetime.strptime(given["X-Goog-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            end = begin + timedelta(seconds=int(given["X-Goog-Expires"][0]))
        except (KeyError, ValueError, OverflowError):
            return None
        return image_id_in(name) if name != path and now < end else None

    async def check(self) -> None:
        """Raises: Overloaded when links cannot be signed."""
        await self._bucket.call(lambda _bucket: self._credentials.sign_bytes(b"tryon-images storage check"))

    def _sign(self, name: str, expires_at: datetime, bucket: Bucket) -> str:
        # The library counts whole seconds from the present, rounding down: never past `expires_at`.
        url: str = bucket.blob(name).generate_signed_url(
            version="v4", method="GET", expiration=expires_at, credentials=self._credentials
        )
        return url

    @cached_property
    def _credentials(self) -> Signing:
        credentials = self._bucket.credentials
        return credentials if isinstance(credentials, Signing) else IamSigning(credentials, self._iam)


class IamSigning(Signing):
    """Signs as the service account that the process runs as (Cloud Run, GKE), whose key nobody ever sees."""

    def __init__(self, credentials: Credentials, iam: requests.Session) -> None:
        self._credentials = credentials
        self._request = partial(Request(iam), timeout=SIGN_SECONDS)
        self._refreshing = Lock()

    @property
    def signer_email(self) -> str:
        """On Google Cloud it is known only once there is a token. Raises: CannotSign."""
        with self._refreshing:
            if not self._credentials.valid:
                self._credentials.refresh(self._request)
        email: str | None = getattr(self._credentials, "service_account_email", None)
        if not email or "@" not in email:
            raise CannotSign
        return email

    @property
    def signer(self) -> IamSigner:
        return IamSigner(self._request, self._credentials, self.signer_email)

    def sign_bytes(self, message: bytes) -> bytes:
        """Raises: TransportError when IAM refuses or is out of reach."""
        signature: bytes = self.signer.sign(message)
        return signature
