"""The two trades of sandboxed processes: a decoder sees one photo in its life; a detector sees only pixels, no file.

All of this runs on the far side of a channel, where a photo may have taken over.
"""

import gc
import math
import pkgutil
import resource
import signal
import socket
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from adapters.sandbox import system
from adapters.sandbox.channel import (
    Begin,
    Broken,
    Channel,
    Decode,
    Decoded,
    Detect,
    Encode,
    Encoded,
    Failed,
    FromDetector,
    Gone,
    Invalid,
    Measure,
    Measured,
    Opened,
    OutOfMemory,
    Photo,
    Ping,
    Ready,
    Refusal,
    Seen,
    TooLarge,
    Turn,
    Turned,
    Unsupported,
    View,
    Viewed,
    to_decoder,
    to_detector,
)
from application.ports.photos import (
    OpenPhoto,
    PersonDetector,
    PhotoDecoder,
    PhotoMeter,
    RgbPixels,
    ViewablePhoto,
)
from domain.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat
from domain.geometry import Box, Size
from domain.photo import SourceFormat

_MAX_PLACES: Final = 6  # innermost stack frames that are worth a line in the log


@dataclass
class DecodingTrade:
    """How decoders are made.

    `factory` is `module:function`, so that the server need not import it; called in the parent with `argument`, it
    imports the codecs. `samples` are tiny photos, one of each kind, that the parent decodes: what codecs load late is
    there before the first stranger's photo.
    """

    factory: str
    argument: Any
    samples: tuple[bytes, ...]
    memory_bytes: int
    cpu_seconds: float

    def prepare(self) -> None:
        self._decoder: PhotoDecoder = pkgutil.resolve_name(self.factory)(self.argument)
        for sample in self.samples:
            opened = self._decoder.open(sample)
            opened.view(None, 64)
            opened.encode(None, 64)
        self._address_space_bytes = system.address_space_bytes()
        gc.disable()  # a decoder's life is too short for it

    def run(self, connection: socket.socket, *, sandboxed: bool) -> None:
        """Everything from just after the fork to the end."""
        seconds = math.ceil(self.cpu_seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        if self._address_space_bytes:
            system.limit_address_space(self._address_space_bytes + self.memory_bytes)
        if sandboxed:
            system.confine_decoder()
        _serve_photo(Channel(connection), self._decoder)


def _serve_photo(channel: Channel, decoder: PhotoDecoder) -> None:
    try:
        photo = channel.receive(to_decoder)
        if not isinstance(photo, Photo):
            raise TypeError("the photo comes first")
        opened = decoder.open(bytes(channel.receive_bytes(photo.size_bytes)))
        channel.send(Opened(opened.source_format, opened.upright_size))
        while _answer_photo(channel, opened):
            pass
    except EOFError:
        return  # the server has what it wants, or nobody wants the picture any more
    except Exception as error:  # a library's own error, or our bug: the server logs it
        channel.send(_refusal(error))


def _answer_photo(channel: Channel, opened: OpenPhoto) -> bool:
    """False after the last answer."""
    match channel.receive(to_decoder):
        case Decode(longest_edge):
            opened.decode(longest_edge)
            channel.send(Decoded())
            return True
        case Turn(turns):
            channel.send(Turned(opened.turn(turns)))
            return True
        case View(window, longest_edge):
            channel.send_view(opened.view(window, longest_edge))
            return True
        case Encode(window, longest_edge, padding):
            encoded = opened.encode(window, longest_edge, padding)
            channel.send(Encoded(encoded.size, len(encoded.jpeg), encoded.warnings), encoded.jpeg)
            return False
        case _:
            raise TypeError("a decoder sees one photo")


def _refusal(error: Exception) -> Refusal:
    match error:
        case UnsupportedImageFormat():
            return Unsupported()
        case InvalidImage():
            return Invalid(str(error))
        case ImageTooLarge():
            return TooLarge(error.pixels)
        case MemoryError():
            return OutOfMemory()
        case _:
            return _broken(error)


def _broken(error: Exception) -> Broken:
    """The innermost lines of code an error went through. Its text stays here: it may quote the photo."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)][-_MAX_PLACES:]
    where = " > ".join(f"{Path(code.co_filename).name}:{line} {code.co_name}" for code, line in frames)
    return Broken(type(error).__qualname__, where[-300:])


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
                channel.send(_answer_question(channel, observer))
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


Trade = DecodingTrade | DetectingTrade
"""The work of one parent's children: `prepare` is called in the parent, once; `run` is all that a child does."""


def _answer_question(channel: Channel, observer: Observer) -> FromDetector:
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
        return _broken(error)


class _LookedEnough(Exception):
    """The photo is gone."""


@dataclass(slots=True)
class _PhotoElsewhere(ViewablePhoto):
    """A photo that only a decoder has; the server is asked for views of it."""

    channel: Channel
    source_format: SourceFormat
    upright_size: Size

    def view(self, window: Box | None, longest_edge: int) -> RgbPixels:
        self.channel.send(View(window, longest_edge))
        match self.channel.receive(to_detector):
            case Viewed(size):
                return self.channel.receive_pixels(size)
            case Gone():
                raise _LookedEnough
            case other:
                raise TypeError(type(other).__name__)
