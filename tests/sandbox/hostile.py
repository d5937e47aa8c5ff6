"""Decoders and detectors that do, on request, what a hostile photo might make them do: real code in the real sandbox.

A "photo" is a command and its argument, `b"sleep 5"`, carried out when it is opened; what came of it is said in the
text of an InvalidImage. A photo that is no command is 8 x 10 pixels large and honest.
"""

import _thread
import ctypes
import gc
import os
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adapters.imaging.jpeg import encode_jpeg
from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from adapters.imaging.picture import picture_of
from adapters.sandbox import attacks, confinement
from adapters.sandbox.channel import Broken, Decoded, Encoded, Invalid, Measured, Opened, Viewed
from adapters.sandbox.trades import Observer
from application.ports.photos import (
    EncodedPhoto,
    OpenPhoto,
    PersonDetector,
    PhotoDecoder,
    PhotoMeter,
    RgbPixels,
    ViewablePhoto,
)
from domain.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat
from domain.geometry import NO_PADDING, Box, Padding, Size
from domain.person import BodyPart, Landmark, Outline, SeenPerson, SeenPhoto
from domain.photo import Appearance, SourceFormat

SIZE = Size(8, 10)
JPEG = encode_jpeg(picture_of(np.full((SIZE.height, SIZE.width, 3), 200, np.uint8)))
OTHER_JPEG = encode_jpeg(picture_of(np.zeros((20, 20, 3), np.uint8)))
_THE_SOCKET = 3
_SS_DISABLE = 2
_HOARD: list[bytes] = []


class HonestPhoto(OpenPhoto):
    source_format = SourceFormat.PNG
    upright_size = SIZE

    def decode(self, longest_edge: int) -> None:
        """It is a few pixels."""

    def turn(self, turns: int) -> bool:
        return False

    def view(self, window: Box | None, longest_edge: int) -> RgbPixels:
        size = (window.size if window else SIZE).limited_to(longest_edge)
        return RgbPixels(size, bytes(size.pixels * 3))

    def encode(self, window: Box | None, longest_edge: int, padding: Padding = NO_PADDING) -> EncodedPhoto:
        size = padding.around(window.size if window else SIZE).limited_to(longest_edge)
        return EncodedPhoto(encode_jpeg(picture_of(np.full((size.height, size.width, 3), 200, np.uint8))), size)


class SlowPhoto(HonestPhoto):
    def decode(self, longest_edge: int) -> None:
        time.sleep(60)


class ObedientDecoder(PhotoDecoder):
    def open(self, photo: bytes | memoryview) -> OpenPhoto:
        command, _, argument = bytes(photo[:200]).decode("ascii", "replace").partition(" ")
        if command in COMMANDS and (said := COMMANDS[command](argument)) is not None:
            raise InvalidImage(said)
        return SlowPhoto() if command == "slow" else HonestPhoto()


def decoder(_: object) -> PhotoDecoder:
    """With one thread that comes and goes, as codecs have them: what the C library does for the first one is done."""
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()
    return ObedientDecoder()


STEAL = b"here is the code that takes over a decoder"


class TakenOverDecoder(ImagingPhotoDecoder):
    """Decodes honestly, until a photo takes it over: then it answers with any other photo that it can get hold of."""

    def open(self, photo: bytes | memoryview) -> OpenPhoto:
        _HOARD.append(own := bytes(photo))
        if STEAL in own:
            _HOARD.extend(each for holder in gc.get_objects() for each in gc.get_referents(holder) if _is_jpeg(each))
        return super().open(next((other for other in _HOARD if STEAL in own and other != own), own))


def _is_jpeg(thing: object) -> bool:
    return isinstance(thing, bytes) and thing.startswith(b"\xff\xd8\xff") and thing not in {JPEG, OTHER_JPEG}


def taken_over_decoder(_: object) -> PhotoDecoder:
    return TakenOverDecoder()


def decoder_that_cannot_load(reason: str) -> PhotoDecoder:
    raise FileNotFoundError(reason)


class HonestObserver(PersonDetector, PhotoMeter):
    """Looks at the whole photo and sees nobody."""

    def detect(self, photo: ViewablePhoto) -> SeenPhoto:
        photo.view(None, 640)
        return SeenPhoto.unseen(SIZE)

    def measure(self, photo: ViewablePhoto, region: Box | None, outline: Outline | None = None) -> Appearance:
        photo.view(region, 512)
        return Appearance(0.1, 0.5, 0.9, 0.5)


def observer(_: object) -> Callable[[], Observer]:
    return HonestObserver


class ObserverWhoseThreadsEnd(HonestObserver):
    """As those of MediaPipe do after a minute without work: each takes off its stack for signals, or aborts."""

    def detect(self, photo: ViewablePhoto) -> SeenPhoto:
        disabled = struct.pack("PiN", 0, _SS_DISABLE, 0)  # stack_t of sigaltstack(2)
        if ctypes.CDLL(None).sigaltstack(disabled, None):
            os.abort()
        return super().detect(photo)


def observer_whose_threads_end(_: object) -> Callable[[], Observer]:
    return ObserverWhoseThreadsEnd


_SOMEBODY = SeenPerson(Box(0, 0, 8, 10), None, None, 0.5)


def _seen(*people: SeenPerson) -> SeenPhoto:
    return SeenPhoto(SIZE, Box.covering(SIZE), people)


class LyingObserver(HonestObserver):
    """Sees what it is told to; the lie is the argument of its trade."""

    def __init__(self, lie: str) -> None:
        self._lie = lie

    def detect(self, photo: ViewablePhoto) -> SeenPhoto:  # noqa: PLR0911, PLR0912 - a lie each
        match self._lie:
            case "nothing":
                return super().detect(photo)
            case "outside":
                return _seen(SeenPerson(Box(0, 0, 9, 10), None, None, 0.5))
            case "nowhere":
                return _seen(SeenPerson(Box(0, 0, 0, 10), None, None, 0.5))
            case "no number":
                return _seen(replace(_SOMEBODY, landmarks=dict.fromkeys(BodyPart, Landmark(float("nan"), 1, 1))))
            case "half a body":
                return _seen(replace(_SOMEBODY, landmarks={BodyPart.NOSE: Landmark(1, 1, 1)}))
            case "outline":
                return _seen(replace(_SOMEBODY, outline=Outline(Box(0, 0, 8, 10), Size(9, 9), b"x")))
            case "crowd":
                return _seen(*[_SOMEBODY] * 51)
            case "other photo":
                return SeenPhoto.unseen(Size(80, 100))
            case "endless":
                while True:
                    photo.view(None, 640)
            case "window":
                photo.view(Box(5, 0, 8, 10), 640)
            case "pixels":
                photo.view(None, 16_000)
            case "measured":
                _say(Measured(Appearance(0, 0, 0, 0)))
            case "nonsense":
                os.write(_THE_SOCKET, b"\0\0\0\4\xff\xff\xff\xff")
            case "threads":
                photo.view(None, 640)
                _crowd()
            case "blur":
                return replace(_seen(), with_blur=Box(-5, 0, 8, 10))
            case "crash":
                photo.view(None, 640)
                ctypes.string_at(0)
            case "error":
                raise KeyError("a secret in the photo")
        return _seen()


def lying_observer(lie: str) -> Callable[[], Observer]:
    return lambda: LyingObserver(lie)


def observer_without_model(path: str) -> Callable[[], Observer]:
    """Builds only while the file is there: a model that somebody deletes under a running server."""

    def build() -> Observer:
        Path(path).read_bytes()
        return HonestObserver()

    return build


def observer_that_dies_at_birth(_: object) -> Callable[[], Observer]:
    return lambda: os._exit(7)


def observer_that_dawdles(while_there: str) -> Callable[[], Observer]:
    """For ever, if the file is there when it begins."""

    def dawdle() -> Observer:
        if Path(while_there).exists():
            time.sleep(600)
        return HonestObserver()

    return dawdle


# ---- where the kernel has less to offer ----


def _forget_landlock() -> None:
    confinement.restrict = lambda *_: None


def decoder_without_landlock(table: str) -> PhotoDecoder:
    _forget_landlock()
    return attacks.decoder(table)


def observer_without_landlock(table: str) -> Callable[[], Observer]:
    _forget_landlock()
    return attacks.observer(table)


# ---- commands ----


_Said = msgspec.Struct | dict[str, Any] | bytes


def _opened(width: float, height: float) -> _Said:
    return {"type": "Opened", "source_format": "PNG", "upright_size": {"width": width, "height": height}}


def _say(*messages: _Said) -> None:
    """Answer behind the back of the honest code, as whoever has taken over a process could."""
    for message in messages:
        body = message if isinstance(message, bytes) else msgspec.msgpack.encode(message)
        frame = body if isinstance(message, bytes) else len(body).to_bytes(4, "big") + body
        while frame:
            frame = frame[os.write(_THE_SOCKET, frame) :]


def _forge(argument: str) -> None:
    opened, view, picture = Opened(SourceFormat.PNG, SIZE), Viewed(SIZE), Encoded(SIZE, len(JPEG), ())
    pixels = bytes(SIZE.pixels * 3)
    looked_at = (opened, Decoded(), view, pixels, view, pixels)  # once by the detector, once by the meter
    answers: dict[str, tuple[_Said, ...]] = {
        "nonsense": (b"\0\0\0\4\xff\xff\xff\xff",),
        "length": (b"\xff\xff\xff\xff" + bytes(100),),
        "order": (view, pixels),
        "other-type": ({"type": "Opened", "source_format": "PNG"},),
        "another-kind": ({"type": "Ready"},),
        "negative-photo": (_opened(-8, 10),),
        "half-a-pixel": (_opened(8.5, 10),),
        "no-number": (_opened(float("nan"), 10),),
        "more-than-64-bits": (_opened(2**64 - 1, 2**64 - 1),),
        "huge-photo": (_opened(8_000_001, 8),),
        "unspeakable": ({"type": "Invalid", "message": "a\0message\nof two lines"},),
        "novel": (Invalid("x" * 2000),),
        "talkative": (Broken("KeyError", 'all that it saw: "#/%&"'),),
        "warning": (
            *looked_at,
            {
                "type": "Encoded",
                "size": {"width": 8, "height": 10},
                "jpeg_bytes": len(JPEG),
                "warnings": [{"code": "HDR_TONE_MAPPED", "message": "\0"}],
            },
            JPEG,
        ),
        "huge-view": (opened, Decoded(), Viewed(Size(60_000, 60_000))),
        "early-end": (opened,),
        "other-size": (*looked_at, Encoded(Size(20, 20), len(OTHER_JPEG), ()), OTHER_JPEG),
        "other-photo": (*looked_at, Encoded(SIZE, len(OTHER_JPEG), ()), OTHER_JPEG),
        "huge-picture": (*looked_at, Encoded(SIZE, 4_000_000_000, ())),
        "trailing": (*looked_at, Encoded(SIZE, len(JPEG) + 4, ()), JPEG + b"more"),
        "no-picture": (*looked_at, Encoded(SIZE, 7, ()), b"<html/>"),
        "honest": (*looked_at, picture, JPEG),
        "twice": (*looked_at, picture, JPEG, picture, JPEG),
    }
    _say(*answers[argument])
    if argument != "early-end":
        time.sleep(60)
    os._exit(0)


def _drip(_: str) -> None:
    """A view, byte by byte, for days."""
    _say(Opened(SourceFormat.PNG, SIZE), Decoded(), Viewed(Size(640, 640)))
    while True:
        os.write(_THE_SOCKET, b"x")
        time.sleep(0.3)


def _crowd(_: str = "") -> None:
    """As many threads as can be had; they do nothing."""
    threading.stack_size(64 * 1024)
    with suppress(RuntimeError):
        while True:
            _thread.start_new_thread(time.sleep, (600,))
    time.sleep(600)


def _refuse(argument: str) -> None:
    raise {
        "unsupported": UnsupportedImageFormat(),
        "large": ImageTooLarge(100_000_000, 64_000_000),
        "bug": KeyError("a secret in the photo"),
    }[argument]


def _sleep(argument: str) -> None:
    time.sleep(float(argument))


def _spin(argument: str) -> None:
    """Burns so many seconds of CPU time."""
    until = time.process_time() + float(argument)
    while time.process_time() < until:
        pass


def _eat(argument: str) -> None:
    _HOARD.extend(b"\1" * 1_000_000 for _ in range(int(argument)))


def _hoard(argument: str) -> str:
    """Keeps the photo, and gives away whatever was kept before."""
    _HOARD.append(argument.encode())
    return " ".join(photo.decode() for photo in _HOARD)


def _descriptors(_: str) -> str:
    """Asked of the kernel by reading: none is open that is not ours, or reading it would not fail."""
    return " ".join(str(number) for number in range(64) if _is_open(number))


def _is_open(number: int) -> bool:
    try:
        os.write(number, b"")
    except OSError:
        return False
    return True


COMMANDS: dict[str, Callable[[str], str | None]] = {
    "sleep": _sleep,
    "spin": _spin,
    "eat": _eat,
    "hoard": _hoard,
    "refuse": _refuse,
    "forge": _forge,
    "drip": _drip,
    "crowd": _crowd,
    "crash": lambda _: str(ctypes.string_at(0)),
    "abort": lambda _: os.abort(),
    "exit": lambda argument: os._exit(int(argument)),
    "forbidden": lambda _: str(os.getppid()),
    "pid": lambda _: str(os.getpid()),
    "environment": lambda _: " ".join(f"{name}={value}" for name, value in os.environ.items())[:900],
    "descriptors": _descriptors,
}
