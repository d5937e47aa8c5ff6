"""Fair shares: no account takes memory for bodies, turns at the photo workers or requests from the others."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import ClassVar, Final

from application.ports.system import RateBucket, RateLimiter
from application.request_trace import Stage
from domain.account import Account, AccountId, Allowance, ApiKey, RateLimit
from domain.errors import Overloaded

LONGEST_WAIT_SECONDS: Final = 120.0
"""For memory, and for a turn. Then it is refused."""
RETRY_AFTER_SECONDS: Final = 5
SHARE_OF_FREE: Final = 3
SMALL_BYTES: Final = 256
"""A piece takes the same time however small it is: after one below this the next has to wait."""


class BodyMemory:
    """Memory for bodies that are on their way, bounded in bytes; of one server process. Whatever is claimed comes back
    when the request ends.

    Two rules, for bodies of known length (an unknown one counts as the longest allowed):

    - While less than half is claimed, every body is read as it arrives and claims what has arrived: a thousand slow
      phones hold only what they have sent.
    - Beyond that a body goes on only once all that is missing of it is claimed as well. So each that goes on can be
      read to its end, whoever else waits, and what it claims comes back; half-read bodies never hold each other up.

    A claim beyond the half is granted if the account then holds no more than three times of what stays free, or if it
    is its only one and there is room (dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6,
    1998). An account that is alone gets three quarters; several share equally; something is always left for the next
    one. Who waits is not refused but not read: TCP slows the sender down.
    """

    def __init__(self, max_bytes: int, longest_body_bytes: int) -> None:
        """At least four of the longest bodies fit: less would hold up half-read bodies, or a newcomer, for ever."""
        self.max_bytes = max(max_bytes, 4 * longest_body_bytes)
        self.longest_body_bytes = longest_body_bytes
        self.bodies = 0
        self._held: Counter[AccountId] = Counter()
        self._waiting: list[BodyClaim] = []

    @property
    def held_bytes(self) -> int:
        return self._held.total()

    @contextmanager
    def claim(
        self, account_id: AccountId, length_bytes: int | None, patience_seconds: float | None = None
    ) -> Iterator["BodyClaim"]:
        """Memory for one body and what is made of it; given back at the end of the block."""
        length = self.longest_body_bytes if length_bytes is None else min(length_bytes, self.longest_body_bytes)
        claim = BodyClaim(self, account_id, length, patience_seconds or LONGEST_WAIT_SECONDS)
        self.bodies += 1
        try:
            yield claim
        finally:
            self.bodies -= 1
            self.give_back(claim, claim.claimed_bytes)

    def is_half_used(self, more_bytes: int) -> bool:
        return 2 * (self.held_bytes + more_bytes) > self.max_bytes

    def fits(self, claim: "BodyClaim") -> bool:
        """Whether all that is missing of a body may be claimed now."""
        left_bytes = self.max_bytes - self.held_bytes - claim.missing_bytes
        held_bytes = self._held[claim.account_id]
        return left_bytes >= 0 and (not held_bytes or held_bytes + claim.missing_bytes <= SHARE_OF_FREE * left_bytes)

    def take(self, claim: "BodyClaim", size_bytes: int) -> None:
        claim.claimed_bytes += size_bytes
        self._held[claim.account_id] += size_bytes

    def give_back(self, claim: "BodyClaim", size_bytes: int) -> None:
        claim.claimed_bytes -= size_bytes
        self._held[claim.account_id] -= size_bytes
        if not self._held[claim.account_id]:
            del self._held[claim.account_id]
        self._grant()

    async def wait_for(self, claim: "BodyClaim") -> None:
        """Raises: Overloaded when it takes too long."""
        self._waiting.append(claim)
        try:
            async with asyncio.timeout(claim.patience_seconds):
                await claim.granted.wait()
        except TimeoutError:
            raise Overloaded("Too many uploads are on their way. Try again shortly.", RETRY_AFTER_SECONDS) from None
        finally:
            if claim in self._waiting:
                self._waiting.remove(claim)

    def _grant(self) -> None:
        """To the accounts that hold least, and of each to the body of which least is missing."""
        while ready := [claim for claim in self._waiting if self.fits(claim)]:
            first = min(ready, key=lambda claim: (self._held[claim.account_id], claim.missing_bytes))
            self._waiting.remove(first)
            self.take(first, first.missing_bytes)
            first.granted.set()


class BodyClaim:
    """What one body has of the memory."""

    def __init__(self, memory: BodyMemory, account_id: AccountId, length_bytes: int, patience_seconds: float) -> None:
        self._memory = memory
        self.account_id = account_id
        self.length_bytes = length_bytes
        self.patience_seconds = patience_seconds
        self.claimed_bytes = 0
        self.granted = asyncio.Event()

    @property
    def missing_bytes(self) -> int:
        return self.length_bytes - self.claimed_bytes

    async def draw(self, size_bytes: int) -> None:
        """So many bytes have arrived; returns when the next ones may be read. Raises: Overloaded."""
        if self.granted.is_set():
            return
        if not self._memory.is_half_used(size_bytes):
            self._memory.take(self, min(size_bytes, self.missing_bytes))
        elif self._memory.fits(self):
            self._memory.take(self, self.missing_bytes)
            self.granted.set()
        else:
            await self._memory.wait_for(self)

    def settle(self, size_bytes: int) -> None:
        """The body is complete: what it did not need comes back."""
        if self.claimed_bytes > size_bytes:
            self._memory.give_back(self, self.claimed_bytes - size_bytes)


class FairTurns:
    """Turns at the photo workers, at most `places` at once, dealt round-robin over accounts: who sends a thousand
    photos delays only itself.

    Besides there is one place that only an account without a photo in work gets: it does not wait for the end of
    others' photos, however long those take. The cores are shared for that time.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._running: Counter[AccountId] = Counter()
        self._waiting: dict[AccountId, deque[asyncio.Event]] = {}

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, account_id: AccountId) -> AsyncIterator[None]:
        """Raises: Overloaded when it does not come in time."""
        await self._wait(account_id)
        try:
            yield
        finally:
            self._end(account_id)

    async def _wait(self, account_id: AccountId) -> None:
        mine = asyncio.Event()
        self._waiting.setdefault(account_id, deque()).append(mine)
        self._deal()
        if mine.is_set():
            return
        try:
            with Stage("queue"):
                async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                    await mine.wait()
        except BaseException as error:
            self._leave(account_id, mine)
            if isinstance(error, TimeoutError):
                raise Overloaded("Too many photos wait. Try again shortly.", RETRY_AFTER_SECONDS) from None
            raise

    def _leave(self, account_id: AccountId, mine: asyncio.Event) -> None:
        if mine.is_set():  # the turn came in the very moment of giving up
            self._end(account_id)
        else:
            self._waiting[account_id].remove(mine)
            if not self._waiting[account_id]:
                del self._waiting[account_id]

    def _end(self, account_id: AccountId) -> None:
        self._running[account_id] -= 1
        if not self._running[account_id]:
            del self._running[account_id]
        self._deal()

    def _deal(self) -> None:
        """To the account with the fewest turns; among equals to the one whose last turn is longest ago."""
        while self._waiting:
            account = min(self._waiting, key=self._running.__getitem__)
            taken = self._running.total()
            if taken > self.places or (taken == self.places and self._running[account]):
                return
            queue = self._waiting.pop(account)
            queue.popleft().set()
            self._running[account] += 1
            if queue:
                self._waiting[account] = queue  # behind all others


@dataclass(frozen=True, slots=True)
class LimitRate:
    """Refuse an account that asks too often: by its own limit, or by the one for all; 0 means none."""

    POLLS_PER_REQUEST: ClassVar = 30
    """A try-on is polled every two seconds, 30 times a minute: whoever may start one may also ask how it fares."""

    limiter: RateLimiter
    requests_per_minute: int

    async def of_key(self, key: ApiKey | None) -> Allowance | None:
        """Returns: None when the key has no limit of its own. Raises: Overloaded."""
        if key is None or key.requests_per_minute is None:
            return None
        return await self.limiter.take(key.account_id, f"key:{key.key_id}"[:20], RateLimit(key.requests_per_minute))

    async def execute(self, account: Account, bucket: RateBucket) -> Allowance | None:
        """Returns: None when the account has no limit. Raises: Overloaded."""
        own = account.requests_per_minute
        requests = self.requests_per_minute if own is None else own
        if requests == 0:
            return None
        times = self.POLLS_PER_REQUEST if bucket is RateBucket.POLLS else 1
        return await self.limiter.take(account.account_id, bucket, RateLimit(requests * times))
