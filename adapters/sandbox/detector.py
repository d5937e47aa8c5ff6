"""A detector: a long-lived process with MediaPipe that never sees a file, only pixels whose number was checked."""

import pkgutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from adapters.sandbox import system
from adapters.sandbox.channel import (
    Begin,
    Channel,
    Detect,
    Failed,
    FromDetector,
    Gone,
    Measure,
    Measured,
    OutOfMemory,
    Ping,
    Ready,
    Seen,
    View,
    Viewed,
    to_detector,
)
from adapters.sandbox.decoder import broken
from application.ports.photos import PersonDetector, PhotoMeter, RgbPixels, ViewablePhoto
from domain.geometry import Box, Size
from domain.photo import SourceFormat


class Observer(PersonDetector, PhotoMeter, Protocol):
    """Eyes and meter in one: what a detector runs."""


@dataclass
class DetectingTrade:
    """How detectors are made.

    `factory` is `module:function`; called in the parent with `argument`, it imports MediaPipe and returns what every
    detector calls to load its models. That pays for what the first photo would otherwise have to wait for.
    `readable_paths` are what is read then.
    """

    factory: str
    argument: Any
    readable_paths: tuple[str, ...]
    memory_bytes: int

    def prepare(self) -> None:
        """Models are loaded in each detector: their threads would not survive a fork."""
        self._observe: Callable[[], Observer] = pkgutil.resolve_name(self.factory)(self.argument)

    def run(self, connection: socket.socket, *, sandboxed: bool) -> None:
        channel = Channel(connection)
        try:
            observer = self._observer(channel, sandboxed=sandboxed)
        except EOFError:
            return
        except Exception as error:  # whatever it is, the operator has to read it: a missing model, library or memory
            channel.send(Failed(f"{type(error).__name__}: {error}"))
            return
        channel.send(Ready())
        try:
            while True:
                channel.send(_answer(channel, observer))
        except EOFError:
            return

    def _observer(self, channel: Channel, *, sandboxed: bool) -> Observer:
        match channel.receive(to_detector):
            case Begin(int(core)):
                system.stay_on(core)
        if sandboxed:
            system.lock_files(self.readable_paths)
        observer = self._observe()
        if in_use := system.address_space_bytes():
            system.limit_address_space(in_use + self.memory_bytes)
        if sandboxed:
            system.confine_detector()
        return observer


def _answer(channel: Channel, observer: Observer) -> FromDetector:
    try:
        match channel.receive(to_detector):
            case Detect(source_format, upright_size):
                return Seen(observer.detect(_PhotoElsewhere(channel, source_format, upright_size)))
            case Measure(source_format, upright_size, region, outline):
                photo = _PhotoElsewhere(channel, source_format, upright_size)
                return Measured(observer.measure(photo, region, outline))
            case Ping():
                return Ping()
            case other:
                raise TypeError(type(other).__name__)
    except _LookedEnough:
        return Gone()
    except MemoryError:
        return OutOfMemory()
    except EOFError:
        raise
    except Exception as error:  # a library's own error, or our bug: the server logs it and replaces this process
        return broken(error)


class _LookedEnough(Exception):
    """The photo is gone."""


class _PhotoElsewhere(ViewablePhoto):
    """A photo that only a decoder has; the server is asked for views of it."""

    def __init__(self, channel: Channel, source_format: SourceFormat, upright_size: Size) -> None:
        self._channel = channel
        self._source_format = source_format
        self._upright_size = upright_size

    @property
    def source_format(self) -> SourceFormat:
        return self._source_format

    @property
    def upright_size(self) -> Size:
        return self._upright_size

    def view(self, window: Box | None, longest_edge: int) -> RgbPixels:
        self._channel.send(View(window, longest_edge))
        match self._channel.receive(to_detector):
            case Viewed(size):
                return self._channel.receive_pixels(size)
            case Gone():
                raise _LookedEnough
            case other:
                raise TypeError(type(other).__name__)
