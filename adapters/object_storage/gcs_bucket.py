"""One bucket of Google Cloud Storage: its address, who talks to it, and how long a talk may take.

Importing this takes half a second of CPU and 45 MB: only what is configured for `gs://` does.
"""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property, partial
from typing import Final, Self, TypeVar

import google.auth
import requests
import urllib3.exceptions
from google.api_core import exceptions
from google.api_core.exceptions import GoogleAPIError, RetryError
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Bucket, Client
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY, ConditionalRetryPolicy, is_generation_specified
from requests.adapters import HTTPAdapter

from domain.errors import Overloaded

T = TypeVar("T")

THREADS = 16
"""Calls at once. An upload holds one for some 50 ms: far more than the photos that two cores prepare in a second."""
ATTEMPT = (3.05, 10.0)
"""Seconds to connect (just over TCP's first retransmission) and to wait for the next byte."""
RETRY_FOR = 15.0
"""Seconds in which a further attempt may begin. The library's own default is 120: longer than any client waits."""
DEADLINE = RETRY_FOR + sum(ATTEMPT)
"""Seconds until the caller hears of the outage. No attempt goes on for long after: well within the minute that a
purger leaves to an upload that gave up (`TAKE_OVER_AFTER`)."""
RETRY = DEFAULT_RETRY.with_timeout(RETRY_FOR)
RETRY_CREATE = ConditionalRetryPolicy(RETRY, is_generation_specified, ["query_params"])
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
"""For signing through IAM too; what the account may do is decided by its roles."""
OUT_OF_REACH = "Storage is not reachable. Try again shortly."
"""All that a client hears. The cause, with names of buckets and accounts in it, is for the operator: `gcs_rules`."""
UNREADABLE_ANSWERS = (ValueError, LookupError, TypeError, AttributeError)
"""What Google's parsers raise when a server that only resembles Google's, or a proxy, answers something else."""
FAILURES = (
    GoogleAPIError,
    GoogleAuthError,
    InvalidResponse,
    DataCorruption,
    urllib3.exceptions.HTTPError,
    OSError,  # requests' own exceptions among them
    *UNREADABLE_ANSWERS,
)


class Cause(StrEnum):
    """Why the bucket could not be used, in a word: a metric's label, and where an operator begins to look."""

    CREDENTIALS = "credentials"
    REFUSED = "refused"
    NOT_FOUND = "not_found"
    NOT_IMPLEMENTED = "not_implemented"
    CHANGED = "changed"
    BUSY = "busy"
    SERVER_ERROR = "server_error"
    DAMAGED = "damaged"
    TIMEOUT = "timeout"
    UNREADABLE = "unreadable_answer"
    UNREACHABLE = "unreachable"


_CAUSES: Final[Sequence[tuple[tuple[type[Exception], ...], Cause]]] = (
    ((TransportError,), Cause.UNREACHABLE),
    ((GoogleAuthError,), Cause.CREDENTIALS),
    ((exceptions.Forbidden, exceptions.Unauthorized), Cause.REFUSED),
    ((exceptions.NotFound,), Cause.NOT_FOUND),
    ((exceptions.MethodNotAllowed, exceptions.MethodNotImplemented), Cause.NOT_IMPLEMENTED),
    ((exceptions.PreconditionFailed,), Cause.CHANGED),
    ((exceptions.TooManyRequests,), Cause.BUSY),
    ((GoogleAPIError,), Cause.SERVER_ERROR),
    ((DataCorruption,), Cause.DAMAGED),
    ((TimeoutError, requests.exceptions.Timeout, urllib3.exceptions.TimeoutError), Cause.TIMEOUT),
    ((InvalidResponse, *UNREADABLE_ANSWERS), Cause.UNREADABLE),
)
"""The first that fits; what is left is a network."""


def _outage(error: BaseException) -> Overloaded:
    """What a client hears of `error`; the operator finds `error` itself as its `__cause__`."""
    cause = next((cause for kinds, cause in _CAUSES if isinstance(error, kinds)), Cause.UNREACHABLE)
    return Overloaded(OUT_OF_REACH, cause=cause)


@dataclass(frozen=True, slots=True)
class GcsAddress:
    """`gs://bucket` or `gs://bucket/prefix`; `prefix` is empty or ends with a slash."""

    bucket: str
    prefix: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises: ValueError when the URL names no bucket."""
        scheme, _, rest = url.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "gs" or not bucket:
            raise ValueError("a bucket's URL looks like gs://bucket/prefix")
        prefix = prefix.strip("/")
        return cls(bucket, f"{prefix}/" if prefix else "")


class GcsBucket:
    """Takes the client's blocking calls off the event loop, a bounded number at once, none for longer than agreed."""

    def __init__(self, url: str, *, credentials: Credentials | None = None, deadline_seconds: float = DEADLINE) -> None:
        """Without `credentials`: whoever this process is, as Google's libraries find out."""
        self.address = GcsAddress.parse(url)
        self._credentials = credentials
        self._deadline_seconds = deadline_seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gcs")

    def full_name(self, name: str) -> str:
        """The name inside the bucket of the object that the application calls `name`."""
        return self.address.prefix + name

    async def call(self, work: Callable[[Bucket], T]) -> T:
        """Run `work` in a thread. What it raises on an outage, a refusal or a timeout arrives as Overloaded.

        When the deadline passes while `work` still waits for a thread, it never begins; otherwise it ends by itself
        when the attempt that it is in does.
        """
        running = asyncio.get_running_loop().run_in_executor(self._threads, partial(self._call, work))
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await running
        except TimeoutError as error:
            raise _outage(error) from error

    def _call(self, work: Callable[[Bucket], T]) -> T:
        try:
            return work(self.client.bucket(self.address.bucket))
        except FAILURES as error:
            ended_by = error.cause if isinstance(error, RetryError) and error.cause else error
            raise _outage(ended_by) from ended_by

    @cached_property
    def credentials(self) -> Credentials:
        """Nobody's in front of an emulator."""
        if self._credentials is not None:
            return self._credentials
        if os.environ.get("STORAGE_EMULATOR_HOST"):  # the Google libraries' own variable, not a setting of ours
            return AnonymousCredentials()
        found: Credentials = google.auth.default(scopes=SCOPES)[0]
        return found

    @cached_property
    def client(self) -> Client:
        """Without a project, which no call of ours needs; with a connection for every thread, not the library's ten."""
        session = AuthorizedSession(self.credentials)
        session.mount("https://", HTTPAdapter(pool_maxsize=THREADS))
        session.mount("http://", HTTPAdapter(pool_maxsize=THREADS))
        client = Client(project=None, credentials=self.credentials, _http=session)
        # It would look the bucket up behind our back, for traces that nobody records, with a permission of its own.
        client._bucket_metadata_cache = None
        return client
