"""A generation: one person photo, one product, and the picture of the person wearing it, as soon as there is one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, NewType

from domain.account import AccountId, RetentionPolicy
from domain.customer import Customer
from domain.image import ImageId

GenerationId = NewType("GenerationId", str)
LeaseId = NewType("LeaseId", str)


class GenerationStatus(StrEnum):
    """PENDING -> PROCESSING -> COMPLETED or FAILED; back to PENDING when another try can help."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a generation works on; forgotten when it ends, so that the row which stays is anonymous.

    `garments` are pictures of the same garment, the preferred one first. None: a mock, answered with the person's
    picture unchanged.
    """

    person: ImageId
    garments: tuple[ImageId, ...]
    customer: Customer | None
    retention: RetentionPolicy

    @property
    def is_mock(self) -> bool:
        return not self.garments


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a generation ended without a picture; `code` is stable, `message` is for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One try-on of an account.

    Whoever works on it holds a lease: a random id that is checked at every later step, and a time at which another
    worker may take over. Someone whose lease was taken over can no longer change anything.
    """

    MAX_ATTEMPTS: ClassVar = 5
    """Together with the pauses, a minute of an engine that hangs up at once; shops show a spinner meanwhile. It also
    bounds what a generation can do that ends every worker that touches it."""
    DEADLINE: ClassVar = timedelta(minutes=15)
    """Nobody waits for a try-on any longer: after an outage of hours, old ones fail instead of delaying new ones."""
    FIRST_PAUSE: ClassVar = timedelta(seconds=4)
    LEASE: ClassVar = timedelta(seconds=30)
    """Renewed by a heartbeat as long as its worker lives; the work of one that died is taken over after it."""
    HEARTBEAT: ClassVar = timedelta(seconds=10)
    SERVED_LATELY: ClassVar = timedelta(minutes=10)
    """Among accounts with equally many running, the next turn is that of the one not served for longest."""
    KEPT_FOR: ClassVar = timedelta(days=30)
    """Rows of ended generations hold no personal data; a month is enough to look at figures and at complaints."""

    generation_id: GenerationId
    account_id: AccountId
    created_at: datetime
    updated_at: datetime
    status: GenerationStatus = GenerationStatus.PENDING
    inputs: Inputs | None = None
    attempts: int = 0
    lease: LeaseId | None = None
    engine: str | None = None
    result: ImageId | None = None
    failure: Failure | None = None
    has_credit: bool = False
    """Whether it took a credit, which the account gets back should it fail."""

    @property
    def has_ended(self) -> bool:
        return self.status in {GenerationStatus.COMPLETED, GenerationStatus.FAILED}

    def is_spent(self, now: datetime) -> bool:
        """Whether another try is out of the question."""
        return self.attempts >= self.MAX_ATTEMPTS or now >= self.created_at + self.DEADLINE

    def pause(self) -> timedelta:
        """Before the next try: 4, 8, 16 and 32 s."""
        doubled: timedelta = self.FIRST_PAUSE * 2 ** (self.attempts - 1)
        return doubled
