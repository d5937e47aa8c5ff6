"""The detectors of a server: whoever is idle looks at the next photo, and whoever fails is replaced."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from typing import Final, TypeVar

import structlog

from adapters.sandbox.channel import (
    Begin,
    Broken,
    Channel,
    Detect,
    Failed,
    Forged,
    Gone,
    Measure,
    Measured,
    OutOfMemory,
    Ping,
    Ready,
    Seen,
    View,
    from_detector,
)
from adapters.sandbox.children import Child, Children, StartFailed
from adapters.sandbox.remote_photo import RemotePhoto, Unlucky
from application.ports.photos import PersonDetector, PhotoMeter, ViewablePhoto
from application.request_trace import Stage
from domain.errors import InvalidImage, Overloaded
from domain.geometry import Box, Size
from domain.person import BodyPart, Outline, SeenPerson, SeenPhoto
from domain.photo import Appearance

log = structlog.get_logger()

_MAX_VIEW_EDGE: Final = 2_000
_MAX_VIEWS: Final = 40  # for one question; an honest detector that searches piece by piece needs about a dozen
_MAX_PEOPLE: Final = 50
_MAX_OUTLINE_PIXELS: Final = 256 * 256
_MAX_NUMBER: Final = 1e6  # landmarks may lie outside of the photo, but not far
_HEARTBEAT_SECONDS: Final = 5.0

Answer = TypeVar("Answer", Seen, Measured)


@dataclass(eq=False)
class Detectors(PersonDetector, PhotoMeter):
    """As many processes as `wanted`; each on a core of its own if `cores` are given.

    `detect` and `measure` raise Unlucky besides what the photo raises.
    """

    children: Children
    wanted: int
    start_seconds: float
    cores: Sequence[int] = ()
    replaced: int = 0
    lost: threading.Event = field(default_factory=threading.Event)
    _employed: list[Child] = field(default_factory=list)
    _idle: list[Child] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _failing: bool = False

    @property
    def alive(self) -> int:
        return len(self._employed)

    def fill(self) -> None:
        """Start what is missing. Raises: StartFailed."""
        taken = {child.core for child in self._employed}
        free = [core for core in self.cores if core not in taken]
        missing = self.wanted - self.alive
        beginners: list[Child] = []
        try:
            # All of them load their models at once.
            beginners.extend(map(self._begin, [*free, *[None] * missing][:missing]))
            for child in tuple(beginners):
                self._welcome(child)
                beginners.remove(child)
        except BaseException:
            for child in beginners:
                child.dismiss()
            with self._changed:
                self._failing = True  # nobody waits for a process that may not come
                self._changed.notify_all()
            raise

    def check(self) -> None:
        """Listen to the heart of everybody who is idle; who does not answer is replaced by the next `fill`."""
        with self._changed:
            resting = list(self._idle)
        for child in resting:
            with self._changed:
                if child not in self._idle:
                    continue  # it has found work meanwhile
                self._idle.remove(child)
            with suppress(Unlucky), self._keeping(child, time.monotonic() + _HEARTBEAT_SECONDS):
                child.channel.send(Ping())
                _receive(child.channel, Ping)

    def close(self) -> None:
        with self._changed:
            for child in self._idle:
                child.dismiss()
                self._employed.remove(child)
            self._idle.clear()

    def detect(self, photo: ViewablePhoto) -> SeenPhoto:
        with Stage("detect"):
            return self._ask(photo, Detect(photo.source_format, photo.upright_size), Seen).photo

    def measure(self, photo: ViewablePhoto, region: Box | None, outline: Outline | None = None) -> Appearance:
        with Stage("detect"):
            question = Measure(photo.source_format, photo.upright_size, region, outline)
            return self._ask(photo, question, Measured).appearance

    def _ask(self, photo: ViewablePhoto, question: Detect | Measure, kind: type[Answer]) -> Answer:
        assert isinstance(photo, RemotePhoto)  # noqa: S101 - the only kind of photo that is ever put together with us
        shown: list[Box | None] = []
        while True:
            try:
                with self._idle_one(photo.deadline) as channel:
                    channel.send(question)
                    answer = _converse(channel, photo, kind, shown)
                    _check(answer, photo.upright_size)
                    return answer
            except Unlucky as failure:
                if shown or not isinstance(failure.verdict, InvalidImage):
                    raise  # else it died before it saw a pixel, so not of this photo: the next one is asked

    @contextmanager
    def _idle_one(self, deadline: float) -> Iterator[Channel]:
        """Whoever was busy last is the first choice: what it needs is still in the caches of a core."""
        with self._changed:
            while not self._idle:
                if self._failing and self.alive == 0:
                    raise Overloaded(cause="no_detector")
                if not self._changed.wait(deadline - time.monotonic()):
                    raise Unlucky("no detector was free in time")
            child = self._idle.pop()
        with self._keeping(child, deadline):
            yield child.channel

    @contextmanager
    def _keeping(self, child: Child, deadline: float) -> Iterator[None]:
        """Give the child back when it has done well, and let go of it otherwise. Raises: Unlucky."""
        well = False
        try:
            child.channel.patience(deadline)
            yield
            well = True
        except _PhotoFailed as failure:
            well = True
            raise failure.reason from None
        except (OSError, EOFError, Forged) as error:
            end = child.end()
            log.warning("photo_detector_failed", error=type(error).__name__, what=str(error), exit_code=end.exit_code)
            crashed = isinstance(error, EOFError | ConnectionError) and end.exit_code not in {None, 0, -9, -15}
            raise Unlucky(f"detector: {type(error).__name__}", InvalidImage() if crashed else None) from None
        finally:
            with self._changed:
                if well and not self.children.is_closed:
                    self._idle.append(child)
                else:
                    child.dismiss()
                    self._employed.remove(child)
                    self.replaced += not well
                    self.lost.set()
                self._changed.notify()

    def _begin(self, core: int | None) -> Child:
        child = self.children.make()
        child.core = core
        child.channel.patience(time.monotonic() + self.start_seconds)
        try:
            child.channel.send(Begin(core))
        except OSError as error:
            child.dismiss()
            raise StartFailed(f"a detector ended while starting: {error}") from None
        return child

    def _welcome(self, child: Child) -> None:
        try:
            said = child.channel.receive(from_detector)
        except TimeoutError:
            raise StartFailed(f"a detector was not ready within {self.start_seconds:g} seconds") from None
        except (OSError, EOFError, Forged):
            raise StartFailed(f"a detector ended while starting, exit code {child.end().exit_code}") from None
        if not isinstance(said, Ready):
            raise StartFailed(said.reason if isinstance(said, Failed) else f"a detector began with {said}")
        with self._changed:
            if self.children.is_closed:
                raise StartFailed("the service is stopping")
            self._failing = False
            self._employed.append(child)
            self._idle.append(child)
            self._changed.notify()


class _PhotoFailed(Exception):
    """The decoder, not the detector."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


def _converse(channel: Channel, photo: RemotePhoto, kind: type[Answer], shown: list[Box | None]) -> Answer:
    """Show the detector what it asks for, and note it, until it answers.

    Raises: _PhotoFailed; Forged, EOFError, OSError.
    """
    for _ in range(_MAX_VIEWS):
        match channel.receive(from_detector):
            case View(window, longest_edge):
                shown.append(window)
                _show(channel, photo, window, longest_edge)
            case answer if isinstance(answer, kind):
                return answer
            case OutOfMemory():
                raise Forged("out of memory")
            case Broken(error, where):
                raise Forged(f"{error} at {where}")
            case other:
                raise Forged(f"{type(other).__name__} for an answer")
    raise Forged("more views than anybody needs")


def _show(channel: Channel, photo: RemotePhoto, window: Box | None, longest_edge: int) -> None:
    if longest_edge > _MAX_VIEW_EDGE or (window is not None and not _is_within(window, photo.upright_size)):
        raise Forged("a wish for a view of what is not there")
    try:
        view = photo.view(window, longest_edge)
    except Exception as error:
        channel.send(Gone())
        _receive(channel, Gone)
        raise _PhotoFailed(error) from None
    channel.send_view(view)


def _receive(channel: Channel, kind: type[Ping | Gone]) -> None:
    said = channel.receive(from_detector)
    if not isinstance(said, kind):
        raise Forged(f"{type(said).__name__} for an answer")


def _check(answer: Seen | Measured, source: Size) -> None:
    """Raises: Forged for people who are nowhere and numbers that are none."""
    if isinstance(answer, Measured):
        _check_numbers(astuple(answer.appearance))
        return
    seen = answer.photo
    if (
        not 0 <= seen.turns <= 3
        or seen.size != source
        or not all(_is_within(box, source) for box in (seen.content, seen.with_blur) if box)
        or len(seen.people) > _MAX_PEOPLE
    ):
        raise Forged("another photo")
    for person in seen.people:
        _check_person(person, source)


def _check_person(person: SeenPerson, source: Size) -> None:
    boxes = [box for box in (person.box, person.head, person.face) if box is not None]
    if (outline := person.outline) is not None:
        boxes.append(outline.box)
        if outline.size.pixels > _MAX_OUTLINE_PIXELS or len(outline.data) != outline.size.pixels:
            raise Forged("an outline of no size")
    if not all(_is_within(box, source) for box in boxes):
        raise Forged("somebody outside of the photo")
    if 0 < len(person.landmarks) < len(BodyPart):
        raise Forged("half a body")
    for mark in person.landmarks.values():
        _check_numbers((mark.x, mark.y, mark.confidence))
    _check_numbers((person.silhouette, person.confidence))


def _check_numbers(numbers: Iterable[float]) -> None:
    if not all(abs(number) <= _MAX_NUMBER for number in numbers):  # false for NaN, too
        raise Forged("a number that is none")


def _is_within(box: Box, size: Size) -> bool:
    return box.width > 0 and box.height > 0 and box.is_inside(size)
