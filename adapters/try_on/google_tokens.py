"""Access tokens for Google Cloud: whatever credentials the surroundings have, refreshed before they end."""

import asyncio
from collections.abc import Mapping

import google.auth
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import Request

from adapters.try_on.predict_engine import NotAuthorized
from domain.errors import EngineUnavailable

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


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
            except TransportError:
                raise EngineUnavailable from None
            except GoogleAuthError:
                raise NotAuthorized from None

    def _token(self) -> str:
        if self._credentials is None:
            self._credentials = google.auth.default(scopes=[SCOPE])[0]
        if not self._credentials.valid:
            self._credentials.refresh(Request())
        return str(self._credentials.token)
