"""Authentication: the account that an API key, a pass of the page at `/` or an upload ticket opens."""

import base64
import hashlib
import hmac
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from application.answer_once import AnswerOnce
from application.ports.rows import Repositories, UnitOfWork
from application.ports.system import Clock, RandomSource
from application.request_trace import note
from domain.account import Account, ApiKey, Beginning, KeyId, KeyScope, PresentedKey, digest_of_key
from domain.customer import IdempotencyRecord, Pseudonyms
from domain.errors import Forbidden, InvalidApiKey, InvalidTicket, MissingApiKey, Overloaded, TicketUsed
from domain.image import is_id

DEFAULT_ACCOUNT: Final = "default"
PASS_PREFIX: Final = "pass_"  # noqa: S105 - how a pass begins
PASS_LIFETIME: Final = timedelta(hours=8)
MAX_DIGITS: Final = 12
"""Of an instant in Unix seconds: longer ones are no date."""


@dataclass(frozen=True, slots=True)
class PagePass:
    """Stands in for an API key of the default account, so that nobody has to copy a key to try the page."""

    signing_key: bytes
    clock: Clock

    def issue(self) -> str:
        """`pass_<expiry in Unix seconds>_<signature>`."""
        expires = str(int((self.clock.now() + PASS_LIFETIME).timestamp()))
        return f"{PASS_PREFIX}{expires}_{self._signature(expires)}"

    def is_valid(self, presented: str) -> bool:
        """Whether we signed it and it is not over; the signature is compared in constant time."""
        expires, _, signature = presented.removeprefix(PASS_PREFIX).partition("_")
        if not (
            presented.startswith(PASS_PREFIX) and expires.isascii() and expires.isdigit() and len(expires) <= MAX_DIGITS
        ):
            return False
        is_ours = hmac.compare_digest(self._signature(expires).encode(), signature.encode())
        return is_ours and self.clock.now() < datetime.fromtimestamp(int(expires), UTC)

    def _signature(self, expires: str) -> str:
        return hmac.new(self.signing_key, f"page pass\0{expires}".encode(), hashlib.sha256).hexdigest()


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
        is_pass = self.page_pass is not None and self.page_pass.is_valid(api_key)
        return is_pass or _is_dev_key(api_key, self.dev_key_digest)


def _is_dev_key(api_key: str, digest: bytes | None) -> bool:
    return digest is not None and hmac.compare_digest(digest, digest_of_key(api_key))


TICKET_PREFIX: Final = "tkt_"
DEV_KEY: Final = KeyId("dev")
"""In place of the id of a key: the one from the settings."""
MAX_TICKET_CHARS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class TicketTerms:
    """What a ticket fixes for its upload; None: as an upload that does not say so."""

    customer_id: str | None = None
    keep_for_days: int | None = None
    crop: bool | None = None
    fit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Signed with the digest of the API key that asked for it, so that it ends with that key.

    `epoch`: the account's erasure epoch when it was made. An erasure of its customer with a higher one ends it.
    """

    LONGEST: ClassVar = timedelta(hours=1)
    MAX_CHECKS: ClassVar = 20

    ticket_id: str
    key_id: KeyId
    terms: TicketTerms
    epoch: int
    expires_at: datetime

    @property
    def upload_key(self) -> str:
        """The idempotency key of its one upload."""
        return f"{TICKET_PREFIX}{self.ticket_id}"

    def signed(self, digest: bytes) -> str:
        terms = self.terms
        fields = [self.ticket_id, self.key_id, self.epoch, int(self.expires_at.timestamp())]
        fields += [terms.customer_id, terms.keep_for_days, terms.crop, terms.fit]
        payload = _encoded(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode())
        return f"{TICKET_PREFIX}{payload}.{_encoded(_signature(payload, digest))}"

    @classmethod
    def parse(cls, text: str) -> "tuple[Ticket, str, bytes] | None":
        """The ticket, what was signed, and the signature, which is yet to be checked; None when it is no ticket."""
        payload, _, signature = text.removeprefix(TICKET_PREFIX).partition(".")
        if not text.startswith(TICKET_PREFIX) or len(text) > MAX_TICKET_CHARS:
            return None
        try:
            ticket_id, key_id, epoch, expires, *terms = json.loads(_decoded(payload))
            customer_id, days, crop, fit = terms
            ticket = cls(
                ticket_id=ticket_id,
                key_id=key_id,
                terms=TicketTerms(customer_id=customer_id, keep_for_days=days, crop=crop, fit=fit),
                epoch=epoch,
                expires_at=datetime.fromtimestamp(expires, UTC),
            )
            return (ticket, payload, _decoded(signature)) if is_id(key_id) else None
        except (ValueError, TypeError, OverflowError, OSError, RecursionError):
            return None


@dataclass(frozen=True, slots=True)
class UploadTickets:
    """Let a shopper's browser or app upload one photo without the shop's API key.

    Nothing is kept of a ticket but, for as long as it is valid, how often it was used for checks.
    """

    work: UnitOfWork
    once: AnswerOnce
    clock: Clock
    random: RandomSource
    pseudonyms: Pseudonyms
    dev_key_digest: bytes | None

    async def issue(
        self,
        account: Account,
        api_key: str,
        terms: TicketTerms,
        lifetime: timedelta,
        idempotency: IdempotencyRecord | None,
    ) -> tuple[str, datetime]:
        """The ticket and when it is over.

        Raises: InvalidApiKey: a pass of the page; IdempotencyKeyReused, IdempotencyKeyInUse; Overloaded.
        """
        account_id, customer_id, key_id = account.account_id, terms.customer_id, self._key_id(api_key)
        customer = self.pseudonyms.customer(account_id, customer_id) if customer_id is not None else None
        ticket_id, epoch = self.random.salt().hex(), account.erasure_epoch
        expires = int((self.clock.now() + lifetime).timestamp())
        async with self.once.keep(account, idempotency, customer) as request:
            if request is not None and request.result is not None:
                ticket_id, epoch, expires = json.loads(request.result)
            elif request is not None:
                async with self.work.begin() as repositories:
                    await self.once.finish(repositories, request, json.dumps([ticket_id, epoch, expires]))
        expires_at = datetime.fromtimestamp(expires, UTC)
        ticket = Ticket(ticket_id=ticket_id, key_id=key_id, terms=terms, epoch=epoch, expires_at=expires_at)
        return ticket.signed(digest_of_key(api_key)), expires_at

    async def open(self, text: str) -> tuple[Account, Ticket]:
        """The account, as it was when the ticket was made. Raises: InvalidTicket, Overloaded."""
        parsed = Ticket.parse(text)
        if parsed is None or self.clock.now() >= parsed[0].expires_at:
            raise InvalidTicket
        ticket, payload, signature = parsed
        async with self.work.read() as repositories:
            account, digest = await self._opened_by(ticket.key_id, repositories)
            if not hmac.compare_digest(_signature(payload, digest), signature) or not account.is_active:
                raise InvalidTicket
            customer_id = ticket.terms.customer_id
            if customer_id is not None and await repositories.erasures.is_erased_since(
                self.pseudonyms.customer(account.account_id, customer_id), Beginning(ticket.epoch)
            ):
                raise InvalidTicket
        return replace(account, erasure_epoch=ticket.epoch), ticket

    async def count_check(self, account: Account, ticket: Ticket) -> None:
        """Raises: TicketUsed: it was used for all the checks that it allows; Overloaded."""
        digest = hashlib.sha256(f"checks\0{ticket.ticket_id}".encode()).digest()
        async with self.work.begin() as repositories:
            number = await repositories.requests.count(account.account_id, digest, ticket.expires_at)
        if number > Ticket.MAX_CHECKS:
            raise TicketUsed(f"All {Ticket.MAX_CHECKS} checks of the upload ticket are used. Upload the photo.")

    def _key_id(self, api_key: str) -> KeyId:
        if _is_dev_key(api_key, self.dev_key_digest):
            return DEV_KEY
        presented = PresentedKey.parse(api_key)
        if presented is None:  # no key that could end its tickets
            raise InvalidApiKey
        return presented.key_id

    async def _opened_by(self, key_id: KeyId, repositories: Repositories) -> tuple[Account, bytes]:
        """The account, and the digest that its tickets are signed with."""
        if key_id == DEV_KEY and self.dev_key_digest:
            account = await repositories.accounts.find_by_name(DEFAULT_ACCOUNT)
            if account is not None:
                return account, self.dev_key_digest
        found = await repositories.accounts.find_key(key_id)
        if found is None or found[0].is_over(self.clock.now()):
            raise InvalidTicket
        return found[1], found[0].digest


def _signature(payload: str, digest: bytes) -> bytes:
    return hmac.new(digest, f"upload ticket\0{payload}".encode(), hashlib.sha256).digest()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
