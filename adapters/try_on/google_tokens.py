"""Access tokens for Google Cloud: whatever credentials the surroundings have, refreshed before they end."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

import google.auth
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import Request

from adapters.try_on.predict_engine import NotAuthorized, passes
from domain.errors import EngineUnavailable

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"


class GoogleTokens:
    """Application default credentials: a service account's file, a metadata server, or a developer's login."""

    def __init__(self, credentials: Credentials | None = None) -> None:
        self._credentials = credentials
        self._refreshing = asyncio.Lock()

    async def headers(self) -> Mapping[str, str]:
        """Raises: NotAuthorized: there are none; EngineUnavailable: nobody answers who could refresh them."""
        async with self._refreshing:
            try:
                return {"authorization": f"Bearer {await asyncio.to_thread(self._token)}"}
            except GoogleAuthError as error:
                raise EngineUnavailable if _is_outage(error) else NotAuthorized from None

    def _token(self) -> str:
        if self._credentials is None:
            self._credentials = google.auth.default(scopes=[SCOPE])[0]
        if not self._credentials.valid:
            self._credentials.refresh(_StrictRequest())
        return str(self._credentials.token)


class _StrictRequest(Request):
    """A token endpoint that is out of order is an error of transport: some credentials would only quote its text."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        response = super().__call__(*args, **kwargs)  # type: ignore[no-untyped-call]  # as all of google.auth
        if passes(response.status):
            raise TransportError(response.status)
        return response


def _is_outage(error: GoogleAuthError) -> bool:
    return any(isinstance(cause, TransportError) or getattr(cause, "retryable", False) for cause in _causes(error))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it came from: `RefreshError(TransportError(...))` is how a metadata server's silence looks."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
