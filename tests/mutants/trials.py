"""Trials of mutants: tests are collected once, and each mutant gets a fork that runs only the tests that reach it."""

import enum
import functools
import importlib
import importlib.abc
import importlib.util
import os
import pickle
import signal
import sys
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import coverage
import pytest

from tests.mutants.operators import Mutant

KILLERS: Final = (
    "tests/domain",
    "tests/application",
    "tests/durability/test_faults.py",
    "tests/durability/test_reconcile.py",
    "tests/durability/test_credits.py",
    "tests/contracts/test_adapters.py",
    "tests/contracts/test_try_on_adapters.py",
)
"""Folders of the quick tests: a mutant costs them 0.1 s; with tests over HTTP it would be a second."""
SLOW: Final = ("sql", "postgres", "gcs", "folder", "odd_ids", "cropping", "photo_quality", "fair_turns")
"""Words in the names of tests that need more than memory, or are about other things and try examples by chance."""
OURS: Final = ("domain", "application", "adapters", "entrypoints", "tests")
PATIENCE: Final = 20
"""A test that never ends is stopped after so many times what it takes otherwise, and:"""
CPU_SECONDS: Final = 3.0
WAITING_SECONDS: Final = 10.0
FAVOURITES: Final = 5
CONSTANTS: Final = (int, float, str, timedelta)
SURVIVED, CAUGHT = 0, 1

Told = Callable[[Mutant, bool], None]
Tried = Callable[[Mutant, list[str], int], int]


@dataclass
class Reached:
    """Which tests reach a line, and how long each takes: CPU and all (s)."""

    tests: dict[str, dict[int, list[str]]] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def by(self, mutant: Mutant) -> list[str]:
        """The quickest first. Of a declaration: all that reach a file in which its name occurs, or stand in one."""
        if mutant.is_declaration:
            files = [path for path in self.tests if any(name in _text(path) for name in mutant.names)]
            found = {test for path in files for tests in self.tests[path].values() for test in tests}
            found |= {test for test in self.cpu if any(name in _text(test.partition("::")[0]) for name in mutant.names)}
        else:
            lines = self.tests.get(str(mutant.path), {})
            found = {test for line in mutant.lines for test in lines.get(line, ())}
        return sorted(found, key=self.cpu.__getitem__)

    def be_patient(self, test: str) -> None:
        """Time on a processor is what a loaded machine does not stretch; the other clock ends those that only wait."""
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS + PATIENCE * self.cpu[test])
        signal.setitimer(signal.ITIMER_REAL, WAITING_SECONDS + PATIENCE * self.seconds[test])


@functools.cache
def _text(path: str) -> str:
    return Path(path).read_text()


class Quick:
    """A pytest plugin that leaves out the tests which need more than memory."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not any(word in item.nodeid.lower() for word in SLOW)]


class Recorder(Quick):
    """A pytest plugin that measures which tests reach which lines."""

    def __init__(self) -> None:
        self.reached = Reached()
        self._coverage = coverage.Coverage(data_file=None, source=["domain", "application"])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self) -> Iterator[None]:
        self._coverage.start()
        result = yield
        self._coverage.stop()
        data = self._coverage.get_data()
        for path in data.measured_files():
            lines = data.contexts_by_lineno(path).items()
            self.reached.tests[os.path.relpath(path)] = {line: list(filter(None, tests)) for line, tests in lines}
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._coverage.switch_context(item.nodeid)
        cpu, start = time.process_time(), time.monotonic()
        result = yield
        self.reached.cpu[item.nodeid] = time.process_time() - cpu
        self.reached.seconds[item.nodeid] = time.monotonic() - start
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.reached.failed += [report.nodeid] if report.failed else []


class ShortTracebacks:
    """A pytest plugin: nobody reads them, and long ones take longer than the tests."""

    def pytest_configure(self, config: pytest.Config) -> None:
        config.option.tbstyle = "native"


class UntilOneFails:
    """A pytest plugin that runs the given tests, in their order; the process ends with the first that fails."""

    def __init__(self, tests: list[str], reached: Reached, caught_by: int) -> None:
        self._order = {test: number for number, test in enumerate(tests)}
        self._reached, self._caught_by = reached, caught_by

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = {self._order[item.nodeid]: item for item in items if item.nodeid in self._order}
        items[:] = [chosen[number] for number in sorted(chosen)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        self._reached.be_patient(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os.write(self._caught_by, report.nodeid.encode())
            os._exit(CAUGHT)


class Forks(Quick):
    """A pytest plugin that tries mutants instead of running the tests."""

    def __init__(self, trials: dict[Mutant, list[str]], reached: Reached, told: Told) -> None:
        self._trials, self._reached, self._told = trials, reached, told

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}

        def tried(mutant: Mutant, tests: list[str], caught_by: int) -> int:
            is_in_place = put_constant(mutant) if mutant.is_declaration else put_in_place(mutant)
            if is_in_place:
                session.config.pluginmanager.register(UntilOneFails([], self._reached, caught_by))
                chosen = [items[test] for test in tests]
                for item, following in zip(chosen, [*chosen[1:], None], strict=False):
                    item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
            if mutant.is_declaration or not is_in_place:
                return imported_anew(mutant, tests, self._reached, caught_by)
            return SURVIVED

        in_forks(self._trials, tried, self._told)
        return True


def try_all(mutants: list[Mutant], told: Told) -> None:
    """Tell of each whether it survives. Raises: SystemExit: tests fail without any mutant."""
    reached = record()
    run_pytest(Forks({mutant: reached.by(mutant) for mutant in mutants}, reached, told), KILLERS)


def record() -> Reached:
    """In a process of its own, so that the one that forks has run nothing. Raises: SystemExit."""
    read, write = os.pipe()
    if not (pid := os.fork()):
        _be_silent()
        recorder = Recorder()
        run_pytest(recorder, KILLERS)
        with os.fdopen(write, "wb") as out:
            pickle.dump(recorder.reached, out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        reached: Reached = pickle.load(answer)
    os.waitpid(pid, 0)
    if reached.failed or not reached.seconds:
        raise SystemExit(f"Tests fail without any mutant, or none were found: {reached.failed}")
    return reached


def run_pytest(plugin: object, paths: Iterable[str]) -> int:
    options = ["--override-ini", "addopts=", "-s", "-p", "no:terminal", "-p", "no:cacheprovider"]
    return pytest.main([*options, *paths], plugins=[plugin, ShortTracebacks()])


def in_forks(trials: dict[Mutant, list[str]], tried: Tried, told: Told) -> None:
    """One fork for each, as many at once as there are cores. What caught others of a function is tried first."""
    waiting, running = deque(trials.items()), dict[int, tuple[Mutant, int]]()
    favourites: dict[str, list[str]] = {}
    while waiting or running:
        while waiting and len(running) < (os.cpu_count() or 1):
            mutant, tests = waiting.popleft()
            first = favourites.setdefault(mutant.where, [])
            order = sorted(tests, key=lambda test: first.index(test) if test in first else FAVOURITES)
            answer, caught_by = os.pipe()
            if not (pid := os.fork()):
                _end_with(functools.partial(tried, mutant, order, caught_by))
            os.close(caught_by)
            running[pid] = mutant, answer
        pid, status = os.wait()
        mutant, answer = running.pop(pid)
        with os.fdopen(answer) as told_by:
            favourites[mutant.where] = [*dict.fromkeys([told_by.read(), *favourites[mutant.where]])][:FAVOURITES]
        told(mutant, os.waitstatus_to_exitcode(status) == SURVIVED)


def _end_with(trial: Callable[[], int]) -> None:
    result = CAUGHT
    try:
        _be_silent()
        signal.setitimer(signal.ITIMER_REAL, 20 * WAITING_SECONDS)  # until the first test begins
        result = trial()
    finally:
        os._exit(result)


def _be_silent() -> None:
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def put_in_place(mutant: Mutant) -> bool:
    """Give the function of the imported module the mutant's code. Returns: False if it cannot have it."""
    owner: Any = importlib.import_module(mutant.module)
    code: Any = compile(mutant.source, mutant.path, "exec", dont_inherit=True)
    for part in mutant.where.partition(":")[2].split("."):
        code = next(one for one in code.co_consts if isinstance(one, types.CodeType) and one.co_name == part)
        owner = vars(owner)[part]
        if isinstance(function := _function(owner), types.FunctionType):
            try:
                function.__code__ = code
            except ValueError:  # another number of free variables
                return False
            return True
    return False


def put_constant(mutant: Mutant) -> bool:
    """Give a constant its other value wherever it was imported to. Returns: False if it is no plain constant.

    What was computed of it keeps its value: so whatever survives this is imported anew as well.
    """
    anew = types.ModuleType(mutant.module)
    exec(compile(mutant.source, mutant.path, "exec", dont_inherit=True), vars(anew))
    owner: Any = sys.modules[mutant.module]
    for part in filter(None, mutant.where.partition(":")[2].split(".")):
        owner, anew = getattr(owner, part), getattr(anew, part)
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in OURS]
    for name in mutant.names:
        old, new = vars(owner).get(name), vars(anew).get(name)
        if not isinstance(old, CONSTANTS) or isinstance(owner, enum.EnumType):
            return False
        for place in [owner] if isinstance(owner, type) else modules:
            if vars(place).get(name) is old:
                setattr(place, name, new)
    return True


def _function(owner: Any) -> Any:
    for attribute in ("fget", "func", "__func__", "__wrapped__"):
        owner = getattr(owner, attribute, None) or owner
    return owner


class MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from a mutant's text."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._mutant.module else None

    def get_source(self, fullname: str) -> str:
        return self._mutant.source


def imported_anew(mutant: Mutant, tests: list[str], reached: Reached, caught_by: int) -> int:
    """For what runs when modules are imported: everything of ours is imported again, one file of tests at a time."""
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        if not name.startswith("tests.mutants"):
            del sys.modules[name]
    sys.meta_path.insert(0, MutantFinder(mutant))
    files: dict[str, list[str]] = {}
    for test in tests:
        files.setdefault(test.partition("::")[0], []).append(test)
    results = (run_pytest(UntilOneFails(chosen, reached, caught_by), [file]) for file, chosen in files.items())
    return SURVIVED if all(result == pytest.ExitCode.OK for result in results) else CAUGHT
