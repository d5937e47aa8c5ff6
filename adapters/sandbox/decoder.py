"""A decoder: a process that sees one photo in its life, answers what is asked about it, and ends."""

import gc
import math
import pkgutil
import resource
import signal
import socket
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapters.sandbox import system
from adapters.sandbox.channel import (
    Broken,
    Channel,
    Decode,
    Decoded,
    Encode,
    Encoded,
    Invalid,
    Opened,
    OutOfMemory,
    Photo,
    Refusal,
    TooLarge,
    Turn,
    Turned,
    Unsupported,
    View,
    to_decoder,
)
from application.ports.photos import OpenPhoto, PhotoDecoder
from domain.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat

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
        while _answer(channel, opened):
            pass
    except EOFError:
        return  # the server has what it wants, or nobody wants the picture any more
    except Exception as error:  # a library's own error, or our bug: the server logs it
        channel.send(_refusal(error))


def _answer(channel: Channel, opened: OpenPhoto) -> bool:
    """False after the last answer."""
    match channel.receive(to_decoder):
        case Decode():
            opened.decode()
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
            return TooLarge(error.pixels, error.limit)
        case MemoryError():
            return OutOfMemory()
        case _:
            return broken(error)


def broken(error: Exception) -> Broken:
    """The innermost lines of code an error went through. Its text stays here: it may quote the photo."""
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__)][-_MAX_PLACES:]
    where = " > ".join(f"{Path(code.co_filename).name}:{line} {code.co_name}" for code, line in frames)
    return Broken(type(error).__qualname__, where[-1000:])
