"""The whole service against a simple model: uploads, copies and try-on results, in any order, with any fault."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from application.generations import GenerationOutcome
from application.read_image import FileSource, LinkedImage, StoredSource
from application.start_try_on import StartedTryOn
from domain.customer import Customer, IdempotencyRecord
from domain.errors import (
    CustomerErased,
    DomainError,
    IdempotencyKeyInUse,
    IdempotencyKeyReused,
    ReconcileRefused,
    ValidationFailed,
)
from domain.generation import GenerationId, GenerationStatus
from domain.image import ImageId, UploadedImage
from tests.builders import a_customer
from tests.durability.conftest import MakeWorld, world_in_memory, worlds_on_disk
from tests.durability.faults import CRASHES, HANGS, PAUSES, Fault, Plan, ProcessDied
from tests.durability.world import World

T = TypeVar("T")
CUSTOMERS = [a_customer("one"), a_customer("two")]

customers = st.sampled_from([None, *CUSTOMERS])
days = st.sampled_from([1, 3, 7])
keys = st.sampled_from([None, None, "k1", "k2"])
plans = st.one_of(
    st.builds(Plan),
    st.builds(Plan, st.sampled_from([fault for fault in Fault if fault not in PAUSES]), st.integers(1, 14)),
)
ENDS = {*CRASHES, Fault.DOWN_FROM_HERE}
"""After one of these nobody cleans up any more."""
pauses = st.builds(
    Plan,
    st.sampled_from(sorted(PAUSES, key=lambda fault: fault.name)),
    st.integers(1, 12),
    st.sampled_from(["", ".put"]),
    then=st.sampled_from([None, None, Fault.FAILS_BEFORE, Fault.FAILS_AFTER, *sorted(ENDS, key=lambda end: end.name)]),
    then_at=st.integers(1, 6),
)


@dataclass(frozen=True)
class Kept:
    """An image that the service has acknowledged."""

    photo: bytes
    customer: Customer | None
    expires_at: datetime
    is_upload: bool = True


@dataclass
class InFlight:
    """An upload, or a generation that is worked on, that takes its time."""

    task: "asyncio.Task[Any]"
    plan: Plan
    began_at: datetime
    photo: bytes = b""
    erased: set[Customer] = field(default_factory=set)
    maybe_erased: set[Customer] = field(default_factory=set)
    """Their erasure failed meanwhile: it may have taken the image or not."""


@dataclass(frozen=True)
class Queued:
    """A generation that was accepted, and the picture that it will make."""

    photo: bytes
    customer: Customer | None


class AnyOrder(RuleBasedStateMachine):
    """`kept` must be there, `gone` must not; what an error left open is in neither."""

    make_world: MakeWorld

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened: AbstractAsyncContextManager[World] = type(self).make_world()
        self.world = self.run(self.opened.__aenter__())
        self.kept: dict[ImageId, Kept] = {}
        self.gone: set[ImageId] = set()
        self.in_flight: list[InFlight] = []
        self.queued: dict[GenerationId, Queued] = {}
        self.may_stray = False
        """A process ended after a put that outlived its row: only the sweep by age finds that object."""
        self.keyed: dict[str, tuple[bytes, datetime]] = {}
        self.on_the_shirt: ImageId | None = None
        """The picture of the one product that is sent more than once."""
        self.photos = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        try:
            while self.in_flight:
                self.finish(0)
            self.run(self.world.recover())
            self.what_was_acknowledged_is_there_and_what_is_gone_is_not()
            there = self.run(self.world.assert_nothing_is_left_behind(but_strays=self.may_stray))
            assert there >= set(self.kept)
            assert not there & self.gone
            compared = self.run(self.world.reconcile(repair=False))
            assert compared.missing == 0
            assert self.may_stray or (compared.compared, compared.orphans) == (len(there), 0)
            self.world.clock.advance(days=32)
            self.run(self.world.purge())
            assert self.run(self.world.assert_nothing_is_left_behind()) == set()
        finally:
            self.run(self.opened.__aexit__(None, None, None))
            self.runner.close()

    # What can happen

    @rule(customer=customers, keep_for_days=days, key=keys, plan=plans)
    def upload(self, customer: Customer | None, keep_for_days: int, key: str | None, plan: Plan) -> None:
        photo = self.photo_for(key)
        upload = self.world.upload(photo, plan, customer=customer, keep_for_days=keep_for_days, key=key)
        result = self.run(self.outcome(upload, plan))
        assert not isinstance(result, CustomerErased), "an upload that began after the erasure was refused"
        if isinstance(result, LinkedImage):
            self.acknowledge(result.image, photo)
            same = [kept for kept in self.kept.values() if kept.photo == photo and kept.is_upload]
            assert len(same) == 1, "the same key stored two images"

    @precondition(lambda self: len(self.in_flight) < 3)
    @rule(customer=customers, keep_for_days=days, plan=pauses)
    def begin_an_upload(self, customer: Customer | None, keep_for_days: int, plan: Plan) -> None:
        photo, began_at = self.photo_for(None), self.world.clock.now()
        upload = self.world.upload(photo, plan, customer=customer, keep_for_days=keep_for_days)
        self.in_flight.append(InFlight(self.run(self.until_it_pauses(upload, plan)), plan, began_at, photo))

    @precondition(lambda self: self.queued and len(self.in_flight) < 3)
    @rule(plan=pauses)
    def begin_a_generation(self, plan: Plan) -> None:
        began_at = self.world.clock.now()
        task = self.run(self.until_it_pauses(self.world.work_off(plan), plan))
        self.in_flight.append(InFlight(task, plan, began_at))

    @precondition(lambda self: self.in_flight)
    @rule(number=st.integers(0, 2))
    def finish(self, number: int) -> None:
        flight = self.in_flight.pop(number % len(self.in_flight))
        is_late = self.world.clock.now() >= flight.began_at + UploadedImage.PENDING_LEASE
        self.may_stray |= is_late and flight.plan.then in ENDS
        flight.plan.go_on.set()
        result = self.run(self.outcome(flight.task, flight.plan))
        if isinstance(result, LinkedImage):
            self.acknowledge(result.image, flight.photo, flight)
        if isinstance(result, GenerationOutcome):
            self.acknowledge_result(result, flight)

    @precondition(lambda self: self.kept)
    @rule(data=st.data(), customer=customers, product_id=st.sampled_from([None, "shirt"]), plan=plans)
    def try_on(self, data: st.DataObject, customer: Customer | None, product_id: str | None, plan: Plan) -> None:
        person, garment = (data.draw(st.sampled_from(sorted(self.kept))) for _ in range(2))
        source: StoredSource | FileSource = StoredSource(garment)
        photo = self.kept[garment].photo
        if data.draw(st.booleans()):
            photo = self.photo_for(None)
            source = FileSource(photo, "products[0].images[0]")
        before = self.kept[person]
        attempt = self.world.try_on(person, (source,), plan, customer=customer, product_id=product_id)
        result = self.run(self.outcome(attempt, plan))
        first_with_a_customer = customer is not None and before.customer is None
        if product_id and self.on_the_shirt and isinstance(result, BaseException):
            self.kept.pop(self.on_the_shirt, None)  # another may have taken its place: the error leaves it open
        if first_with_a_customer and isinstance(result, BaseException):
            self.kept.pop(person, None)  # it may have become the customer's, or not: the error leaves it open
        if isinstance(result, StartedTryOn):
            inputs = self.run(self.world.inputs_of(result.generation_id))
            if first_with_a_customer:  # it goes with that customer from now on (contract)
                self.kept[person] = replace(before, customer=inputs.customer)
            self.queued[result.generation_id] = Queued(before.photo, inputs.customer)
            (picture,) = self.run(self.world.images_of(inputs.garments))
            if product_id:
                if self.on_the_shirt and self.on_the_shirt != picture.image_id:
                    self.kept.pop(self.on_the_shirt, None)  # replaced pictures are released, and go before their day
                self.on_the_shirt = picture.image_id
            if picture.image_id not in self.kept:
                self.acknowledge(picture, photo, is_upload=False)

    @precondition(lambda self: self.queued)
    @rule(plan=plans)
    def work_off(self, plan: Plan) -> None:
        result = self.run(self.outcome(self.world.work_off(plan), plan))
        if isinstance(result, GenerationOutcome):
            self.acknowledge_result(result)

    @precondition(lambda self: self.kept)
    @rule(data=st.data(), plan=plans)
    def delete(self, data: st.DataObject, plan: Plan) -> None:
        image_id = data.draw(st.sampled_from(sorted(self.kept)))
        result = self.run(self.outcome(self.world.delete(image_id, plan), plan))
        del self.kept[image_id]
        if not isinstance(result, BaseException):
            self.gone.add(image_id)

    @rule(customer=st.sampled_from(CUSTOMERS), plan=plans)
    def erase(self, customer: Customer, plan: Plan) -> None:
        result = self.run(self.outcome(self.world.erase(customer, plan), plan))
        theirs = [image_id for image_id, image in self.kept.items() if image.customer == customer]
        for image_id in theirs:
            del self.kept[image_id]
        is_done = not isinstance(result, BaseException)
        if is_done:
            self.gone.update(theirs)
        for flight in self.in_flight:
            (flight.erased if is_done else flight.maybe_erased).add(customer)

    @rule(plan=plans)
    def purge(self, plan: Plan) -> None:
        self.run(self.outcome(self.world.purge(plan), plan))

    @rule(plan=plans, repair=st.booleans())
    def reconcile(self, plan: Plan, repair: bool) -> None:
        self.run(self.outcome(self.world.reconcile(plan, repair=repair), plan))

    @rule(minutes=st.sampled_from([1, 6, 6, 60, 25 * 60, 4 * 24 * 60]), purges=st.integers(0, 2))
    def time_passes(self, minutes: int, purges: int) -> None:
        self.world.clock.advance(minutes=minutes)
        for _ in range(purges):
            self.run(self.world.purge())
            self.world.clock.advance(minutes=1)
        now = self.world.clock.now()
        for image_id in [image_id for image_id, image in self.kept.items() if now >= image.expires_at]:
            del self.kept[image_id]
            self.gone.add(image_id)

    # What must hold

    @invariant()
    def what_was_acknowledged_is_there_and_what_is_gone_is_not(self) -> None:
        for image_id, image in self.kept.items():
            assert self.run(self.world.bytes_of(image_id)) == image.photo
        for image_id in self.gone:
            assert self.run(self.world.bytes_of(image_id)) is None

    # The model's own

    def photo_for(self, key: str | None) -> bytes:
        """A new photo, or with a key usually the same as last time."""
        now = self.world.clock.now()
        if key and key in self.keyed and now < self.keyed[key][1]:
            return self.keyed[key][0]
        self.photos += 1
        photo = b"photo %d" % self.photos
        if key:
            self.keyed[key] = (photo, now + IdempotencyRecord.LIFETIME)
        return photo

    def acknowledge(
        self, image: UploadedImage, photo: bytes, flight: InFlight | None = None, *, is_upload: bool = True
    ) -> None:
        """An answer may come late: after the image it tells of was erased or has expired."""
        assert image.image_id not in self.gone
        if (flight and image.customer in flight.erased) or self.world.clock.now() >= image.expires_at:
            self.gone.add(image.image_id)
        elif not flight or image.customer not in flight.maybe_erased:
            self.kept[image.image_id] = Kept(photo, image.customer, image.expires_at, is_upload)

    def acknowledge_result(self, outcome: GenerationOutcome, flight: InFlight | None = None) -> None:
        if outcome.status is not GenerationStatus.COMPLETED:
            return
        result = self.run(self.world.result_of(outcome.generation_id))
        if queued := self.queued.get(outcome.generation_id):  # or nobody was told that it was accepted
            self.acknowledge(result, queued.photo, flight, is_upload=False)

    @staticmethod
    async def until_it_pauses(operation: Any, plan: Plan) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.ensure_future(operation)
        waiting = asyncio.ensure_future(plan.waiting.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return task

    @staticmethod
    async def outcome(operation: Any, plan: Plan) -> Any:
        """The result, or how it failed. Whoever waits for something that hangs gives up."""
        task = asyncio.ensure_future(operation)
        if plan.fault in HANGS:
            waiting = asyncio.ensure_future(plan.waiting.wait())
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if not task.done():
                task.cancel()
        result: Any = (await asyncio.gather(task, return_exceptions=True))[0]
        expected = (IdempotencyKeyReused, IdempotencyKeyInUse, ReconcileRefused, CustomerErased, ValidationFailed)
        assert plan.happened or isinstance(result, expected) or not isinstance(result, BaseException), repr(result)
        assert isinstance(result, (DomainError, ProcessDied, asyncio.CancelledError)) or not isinstance(
            result, BaseException
        ), repr(result)
        return result


def in_any_order(make_world: Callable[..., Any], examples: int) -> None:
    machine = type("AnyOrderHere", (AnyOrder,), {"make_world": staticmethod(make_world)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_in_any_order_in_memory() -> None:
    in_any_order(world_in_memory, examples=100)


def test_in_any_order_on_sqlite(sqlite_with_account: Path, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path) as folder:
        in_any_order(worlds_on_disk(sqlite_with_account, Path(folder)), examples=12)
