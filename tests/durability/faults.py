"""Ports that fail where a plan wants them to: before the call, after it, by hanging, or with the whole process."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from application.ports.rows import Repositories, UnitOfWork
from domain.errors import Overloaded


class Fault(Enum):
    """How a call goes wrong."""

    FAILS_BEFORE = auto()
    FAILS_AFTER = auto()
    DOWN_FROM_HERE = auto()
    """It fails, and so does every later call of the operation: an outage that lasts."""
    HANGS_BEFORE = auto()
    HANGS_AFTER = auto()
    """Whoever waits gives up and cancels, but the call has taken effect."""
    CRASHES_BEFORE = auto()
    CRASHES_AFTER = auto()
    PAUSES_BEFORE = auto()
    """It takes its time: until the plan is told to go on."""
    PAUSES_AFTER = auto()


AFTER = {Fault.FAILS_AFTER, Fault.HANGS_AFTER, Fault.CRASHES_AFTER, Fault.PAUSES_AFTER}
HANGS = {Fault.HANGS_BEFORE, Fault.HANGS_AFTER}
CRASHES = {Fault.CRASHES_BEFORE, Fault.CRASHES_AFTER}
PAUSES = {Fault.PAUSES_BEFORE, Fault.PAUSES_AFTER}


class ProcessDied(BaseException):
    """Nothing that comes after this in the same operation has any effect: a dead process runs no clean-up."""


@dataclass
class Plan:
    """The fault of one operation: what happens at its `at`-th call of a port, or at its first `call`."""

    fault: Fault | None = None
    at: int = 0
    call: str = ""
    then: Fault | None = None
    """A second fault, at the `then_at`-th call after the first one."""
    then_at: int = 1
    calls: list[str] = field(default_factory=list)
    happened: bool = False
    is_dead: bool = False
    is_down: bool = False
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def next(self, call: str, *, holds_locks: bool = False) -> Fault | None:
        """What happens at this call. One that holds locks is never paused: it would stop the others, not race them."""
        if self.is_dead:
            raise ProcessDied
        if self.is_down:
            return Fault.FAILS_BEFORE
        self.calls.append(call)
        if self.happened:
            return self._second()
        if self.fault is None or len(self.calls) < self.at or not call.endswith(self.call):
            return None
        if holds_locks and self.fault in PAUSES:
            return None
        self.happened = True
        return self._begun(self.fault)

    def _second(self) -> Fault | None:
        self.then_at -= 1
        return self._begun(self.then) if self.then and self.then_at == 0 else None

    def _begun(self, fault: Fault) -> Fault:
        if fault is Fault.DOWN_FROM_HERE:
            self.is_down = True
            return Fault.FAILS_BEFORE
        return fault

    async def strike(self, fault: Fault) -> None:
        if fault in CRASHES:
            self.is_dead = True
            raise ProcessDied
        if fault in HANGS:
            self.waiting.set()
            await asyncio.Event().wait()
        if fault in PAUSES:
            self.waiting.set()
            await self.go_on.wait()
            return
        raise Overloaded

    async def around(self, call: str, method: Any, *args: Any, holds_locks: bool = False, **named: Any) -> Any:
        fault = self.next(call, holds_locks=holds_locks)
        if fault and fault not in AFTER:
            await self.strike(fault)
        result = await method(*args, **named)
        if fault and fault in AFTER:
            await self.strike(fault)
        return result


class FaultyPort:
    """Any port whose methods are coroutines."""

    def __init__(self, port: Any, plan: Plan, *, holds_locks: bool = False) -> None:
        self._port = port
        self._plan = plan
        self._holds_locks = holds_locks

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)
        if not inspect.iscoroutinefunction(method):
            return method
        call = f"{type(self._port).__name__}.{name}"

        async def around(*args: Any, **named: Any) -> Any:
            return await self._plan.around(call, method, *args, holds_locks=self._holds_locks, **named)

        return around


class FaultyObjectStore(FaultyPort):
    """Its `delete` never raises for an outage: it says what is left."""

    async def delete(self, names: Iterable[str]) -> frozenset[str]:
        wanted = frozenset(names)
        try:
            left: frozenset[str] = await self._plan.around("objects.delete", self._port.delete, wanted)
        except Overloaded:
            return wanted
        return left


class FaultyRepositories:
    """Faults at every call inside a transaction."""

    def __init__(self, repositories: Repositories, plan: Plan) -> None:
        self.images = FaultyPort(repositories.images, plan, holds_locks=True)
        self.accounts = FaultyPort(repositories.accounts, plan, holds_locks=True)
        self.erasures = FaultyPort(repositories.erasures, plan, holds_locks=True)
        self.products = FaultyPort(repositories.products, plan, holds_locks=True)
        self.requests = FaultyPort(repositories.requests, plan, holds_locks=True)
        self.generations = FaultyPort(repositories.generations, plan, holds_locks=True)
        self.audit = FaultyPort(repositories.audit, plan, holds_locks=True)


class FaultyUnitOfWork:
    """Faults at the beginning, inside, and at the commit of every transaction."""

    def __init__(self, work: UnitOfWork, plan: Plan) -> None:
        self._work = work
        self._plan = plan

    def begin(self) -> AbstractAsyncContextManager[Any]:
        return self._transaction(self._work.begin())

    def read(self) -> AbstractAsyncContextManager[Any]:
        return self._transaction(self._work.read())

    async def forget_history(self) -> None:
        await self._plan.around("work.forget_history", self._work.forget_history)

    @asynccontextmanager
    async def _transaction(self, transaction: AbstractAsyncContextManager[Repositories]) -> AsyncIterator[Any]:
        fault = self._plan.next("work.begin")
        if fault:  # a transaction that has begun and done nothing is the same as none
            await self._plan.strike(fault)
        async with transaction as repositories:
            yield FaultyRepositories(repositories, self._plan)
            at_commit = self._plan.next("work.commit")
            if at_commit and at_commit not in AFTER | PAUSES:
                await self._plan.strike(at_commit)
        if at_commit and at_commit in AFTER | PAUSES:
            await self._plan.strike(at_commit)
