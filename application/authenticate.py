"""Authentication: the account that an API key, or a pass of the page at `/`, opens."""

import hashlib
import hmac
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from application.ports.rows import UnitOfWork
from application.ports.system import Clock
from application.request_trace import note
from domain.account import Account, ApiKey, KeyScope, PresentedKey, digest_of_key
from domain.errors import Forbidden, InvalidApiKey, MissingApiKey, Overloaded

PREFIX: Final = "pass_"
LIFETIME: Final = timedelta(hours=8)
MAX_DIGITS: Final = 12
"""Of an instant in Unix seconds: longer ones are no date."""


@dataclass(frozen=True, slots=True)
class PagePass:
    """Stands in for an API key of the default account, so that nobody has to copy a key to try the page."""

    signing_key: bytes
    clock: Clock

    def issue(self) -> str:
        """`pass_<expiry in Unix seconds>_<signature>`."""
        expires = str(int((self.clock.now() + LIFETIME).timestamp()))
        return f"{PREFIX}{expires}_{self._signature(expires)}"

    def is_valid(self, presented: str) -> bool:
        """Whether we signed it and it is not over; the signature is compared in constant time."""
        expires, _, signature = presented.removeprefix(PREFIX).partition("_")
        if not (
            presented.startswith(PREFIX) and expires.isascii() and expires.isdigit() and len(expires) <= MAX_DIGITS
        ):
            return False
        is_ours = hmac.compare_digest(self._signature(expires).encode(), signature.encode())
        return is_ours and self.clock.now() < datetime.fromtimestamp(int(expires), UTC)

    def _signature(self, expires: str) -> str:
        return hmac.new(self.signing_key, f"page pass\0{expires}".encode(), hashlib.sha256).hexdigest()


DEFAULT_ACCOUNT = "default"


@dataclass(frozen=True, slots=True)
class Access:
    """What a request may do, and whose it is. `key` is None for the key of the settings and for a pass of the page."""

    account: Account
    key: ApiKey | None = None

    def expect(self, scope: KeyScope | None) -> None:
        """Raises: Forbidden. A call without a scope is for keys that may do everything."""
        if self.key is None or scope in self.key.scopes:
            return
        missing = set(KeyScope) - self.key.scopes
        if scope is not None or missing:
            raise Forbidden(scope or min(missing))


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Two more things open the default account, where they are set: a key from the settings, of which `dev_key_digest`
    is the digest, and a pass of the page.
    """

    work: UnitOfWork
    clock: Clock
    dev_key_digest: bytes | None
    page_pass: PagePass | None

    async def execute(self, api_key: str | None) -> Access:
        """Raises: MissingApiKey; InvalidApiKey: unknown, revoked, over, or of an inactive account; Overloaded."""
        if not api_key:
            raise MissingApiKey
        access = await self._access(api_key)
        if access is None or not access.account.is_active:
            raise InvalidApiKey
        if access.key is not None:
            await self._note_use(access.key)
        return access

    async def _access(self, api_key: str) -> Access | None:
        async with self.work.read() as repositories:
            if self._opens_the_default_account(api_key):
                default = await repositories.accounts.find_by_name(DEFAULT_ACCOUNT)
                return Access(default) if default else None
            presented = PresentedKey.parse(api_key)
            found = await repositories.accounts.find_key(presented.key_id) if presented else None
        if presented is None or found is None:
            return None
        key, account = found
        note(key_id=key.key_id)  # of a refusal too: whoever rotates keys has to see which one is still in use
        return Access(account, key) if key.admits(presented, self.clock.now()) else None

    async def _note_use(self, key: ApiKey) -> None:
        now = self.clock.now()
        if key.is_use_noted(now):
            return
        with suppress(Overloaded):  # what was asked for matters more than a note
            async with self.work.begin() as repositories:
                await repositories.accounts.note_use_of_key(key, now)

    def _opens_the_default_account(self, api_key: str) -> bool:
        is_dev_key = self.dev_key_digest and hmac.compare_digest(self.dev_key_digest, digest_of_key(api_key))
        return bool(is_dev_key) or (self.page_pass is not None and self.page_pass.is_valid(api_key))
