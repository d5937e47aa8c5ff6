"""V4 signed URLs: Google serves the object itself, to whoever holds the link, until it ends."""

from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from threading import Lock
from urllib.parse import parse_qs, unquote

import requests
from google.auth.credentials import Credentials, Signing
from google.auth.exceptions import GoogleAuthError
from google.auth.iam import Signer as IamSigner
from google.auth.transport.requests import Request
from google.cloud.storage import Bucket

from adapters.object_storage.gcs_bucket import GcsBucket
from domain.image import ImageId, UploadedImage, image_id_in

ENDPOINT = "https://storage.googleapis.com"
"""Where the library's signed URLs lead."""
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
