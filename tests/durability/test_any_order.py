"""The whole service against a simple model: everything that can happen, in any order, with any fault."""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from application.preview_link import LinkedImage
from domain.customer import Customer
from domain.errors import CustomerErased, DomainError, IdempotencyKeyInUse, IdempotencyKeyReused, ReconcileRefused
from domain.image import IdempotencyRecord, ImageId
from tests.builders import a_customer
from tests.durability.conftest import MakeWorld, world_in_memory, worlds_on_disk
from tests.durability.faults import HANGS, PAUSES, Fault, Plan, ProcessDied
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
pauses = st.builds(Plan, st.sampled_from(sorted(PAUSES, key=lambda fault: fault.name)), st.integers(1, 12))


@dataclass(frozen=True)
class Kept:
    """An image that the service has acknowledged."""

    photo: bytes
    customer: Customer | None
    expires_at: datetime


@dataclass
class Upload:
    """An upload that takes its time."""

    task: "asyncio.Task[LinkedImage]"
    plan: Plan
    photo: bytes
    customer: Customer | None
    is_erased: bool = False
    is_open: bool = False
    """An erasure failed meanwhile: it may have taken the image or not."""


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
        self.in_flight: list[Upload] = []
        self.keyed: dict[str, tuple[bytes, datetime]] = {}
        self.photos = 0

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        try:
            while self.in_flight:
                self.finish_an_upload(0)
            self.run(self.world.recover())
            self.what_was_acknowledged_is_there_and_what_is_gone_is_not()
            there = self.run(self.world.assert_nothing_is_left_behind())
            assert there >= set(self.kept)
            assert not there & self.gone
            compared = self.run(self.world.reconcile(repair=False))
            assert (compared.compared, compared.orphans, compared.missing) == (len(there), 0, 0)
            self.world.clock.advance(days=8)
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
            self.acknowledge(result, photo)

    @precondition(lambda self: len(self.in_flight) < 3)
    @rule(customer=customers, keep_for_days=days, plan=pauses)
    def begin_an_upload(self, customer: Customer | None, keep_for_days: int, plan: Plan) -> None:
        photo = self.photo_for(None)

        async def begin() -> "asyncio.Task[LinkedImage]":
            upload = self.world.upload(photo, plan, customer=customer, keep_for_days=keep_for_days)
            task = asyncio.ensure_future(upload)
            waiting = asyncio.ensure_future(plan.waiting.wait())
            await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            return task

        self.in_flight.append(Upload(self.run(begin()), plan, photo, customer))

    @precondition(lambda self: self.in_flight)
    @rule(number=st.integers(0, 2))
    def finish_an_upload(self, number: int) -> None:
        upload = self.in_flight.pop(number % len(self.in_flight))
        upload.plan.go_on.set()
        result = self.run(self.outcome(upload.task, upload.plan))
        if isinstance(result, LinkedImage) and (upload.is_erased or not upload.is_open):
            self.acknowledge(result, upload.photo, is_erased=upload.is_erased)

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
        for upload in self.in_flight:
            if upload.customer == customer:
                upload.is_erased |= is_done
                upload.is_open |= not is_done

    @rule(plan=plans)
    def purge(self, plan: Plan) -> None:
        self.run(self.outcome(self.world.purge(plan), plan))

    @rule(plan=plans, repair=st.booleans())
    def reconcile(self, plan: Plan, repair: bool) -> None:
        self.run(self.outcome(self.world.reconcile(plan, repair=repair), plan))

    @rule(minutes=st.sampled_from([1, 6, 60, 25 * 60, 4 * 24 * 60]))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.advance(minutes=minutes)
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

    def acknowledge(self, linked: LinkedImage, photo: bytes, *, is_erased: bool = False) -> None:
        """An answer may come late: after the image it tells of was erased or has expired."""
        image = linked.image
        assert image.image_id not in self.gone
        if is_erased or self.world.clock.now() >= image.expires_at:
            self.gone.add(image.image_id)
            return
        self.kept[image.image_id] = Kept(photo, image.customer, image.expires_at)
        same = [kept for kept in self.kept.values() if kept.photo == photo]
        assert len(same) == 1, "the same key stored two images"

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
        expected = (IdempotencyKeyReused, IdempotencyKeyInUse, ReconcileRefused, CustomerErased)
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
