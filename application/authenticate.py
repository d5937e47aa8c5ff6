"""Find the account that an API key opens."""

import hmac
from dataclasses import dataclass

from application.ports.rows import UnitOfWork
from domain.account import Account, PresentedKey, digest_of_key
from domain.errors import InvalidApiKey, MissingApiKey

DEFAULT_ACCOUNT = "default"


@dataclass(frozen=True, slots=True)
class Authenticate:
    """`dev_key_digest`, when set, is the digest of a key from the settings that opens the default account."""

    work: UnitOfWork
    dev_key_digest: bytes | None

    async def execute(self, api_key: str | None) -> Account:
        """Raises: MissingApiKey; InvalidApiKey: unknown, revoked, or of an inactive account; Overloaded."""
        if not api_key:
            raise MissingApiKey
        account = await self._account_of(api_key)
        if account is None or not account.is_active:
            raise InvalidApiKey
        return account

    async def _account_of(self, api_key: str) -> Account | None:
        async with self.work.read() as repositories:
            if self.dev_key_digest and hmac.compare_digest(self.dev_key_digest, digest_of_key(api_key)):
                return await repositories.accounts.find_by_name(DEFAULT_ACCOUNT)
            presented = PresentedKey.parse(api_key)
            found = await repositories.accounts.find_key(presented.key_id) if presented else None
        if presented is None or found is None:
            return None
        key, account = found
        return account if key.admits(presented) else None
