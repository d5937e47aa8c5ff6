"""Authentication: the account that an API key, or a pass of the page, opens."""

import hmac
from dataclasses import dataclass

from application.page_pass import PagePass
from application.ports.rows import UnitOfWork
from domain.account import Account, PresentedKey, digest_of_key
from domain.errors import InvalidApiKey, MissingApiKey

DEFAULT_ACCOUNT = "default"


@dataclass(frozen=True, slots=True)
class Authenticate:
    """Two more things open the default account, where they are set: a key from the settings, of which `dev_key_digest`
    is the digest, and a pass of the page.
    """

    work: UnitOfWork
    dev_key_digest: bytes | None
    page_pass: PagePass | None

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
            if self._opens_the_default_account(api_key):
                return await repositories.accounts.find_by_name(DEFAULT_ACCOUNT)
            presented = PresentedKey.parse(api_key)
            found = await repositories.accounts.find_key(presented.key_id) if presented else None
        if presented is None or found is None:
            return None
        key, account = found
        return account if key.admits(presented) else None

    def _opens_the_default_account(self, api_key: str) -> bool:
        is_dev_key = self.dev_key_digest and hmac.compare_digest(self.dev_key_digest, digest_of_key(api_key))
        return bool(is_dev_key) or (self.page_pass is not None and self.page_pass.is_valid(api_key))
