"""A stranger's photo in a decoder, as the server deals with it: nothing that comes back is believed."""

import re
import signal
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from adapters.sandbox.channel import (
    Broken,
    Data,
    Decode,
    Decoded,
    Encode,
    Encoded,
    Ended,
    Forged,
    FromDecoder,
    Invalid,
    Opened,
    OutOfMemory,
    Photo,
    TooLarge,
    Turn,
    Turned,
    Unsupported,
    View,
    Viewed,
    from_decoder,
)
from adapters.sandbox.children import Child
from application.ports.photos import EncodedPhoto, OpenPhoto, RgbPixels
from application.request_trace import Stage
from domain.errors import DomainError, ImageTooLarge, InvalidImage, Overloaded, UnsupportedImageFormat
from domain.geometry import NO_PADDING, Box, Padding, Size
from domain.photo import SourceFormat

log = structlog.get_logger()

_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, None)  # the kernel's OOM killer too; or the parent died
_TOO_SLOW: Final = "The photo takes too long to read. Send it again as a plain JPEG."
_TOO_HUNGRY: Final = "The photo needs too much memory to read. Send it again as a plain JPEG."
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_DQT, _SOF0, _DHT, _SOS = 0xDB, 0xC0, 0xC4, 0xDA
_SHAPES: Final = {
    _DQT: re.compile(rb"(?:[\x00-\x03][^\x00]{64}){1,4}"),  # steps of 8 bits
    _SOF0: re.compile(rb"\x08.{4}\x03(?:.[\x11\x12\x21\x22][\x00-\x03]){3}", re.DOTALL),
    _DHT: re.compile(rb".+", re.DOTALL),  # see `_are_codes`
    _SOS: re.compile(rb"\x03(?:.[\x00\x01\x10\x11]){3}\x00\x3f\x00", re.DOTALL),
}
"""The content of each kind of segment that is accepted, after its length."""
_MAX_SEGMENTS: Final = 8  # one encoder writes two DQT and four DHT, the other one of each
_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00]", re.DOTALL)  # in a scan, 0xFF stands for itself only before a zero
_NEARLY: Final = 0.95  # of the CPU budget: the kernel's clock of it and ours tick apart

TRIES: Final = 2
"""Of a photo whose process failed through no fault of the photo's."""

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class PhotoLimits:
    """What one photo may use."""

    cpu_seconds: float = 10.0  # of its decoder
    memory_bytes: int = 1_250_000_000  # address space on top of what the codecs take; a 64 MP WebP takes 1 GB
    max_jpeg_bytes: int = 13_000_000  # 2000 x 2000 pixels of 3 bytes: more than a JPEG of them needs
    max_pixels: int = 64_000_000  # the decoder refuses more before it decodes; nobody believes it more
    start_seconds: float = 30.0  # of a parent or a detector: imports and models on a busy machine
    patience: float = 1.5  # wall time for one try, in CPU budgets: who has not used one by then was starved of it

    @property
    def try_seconds(self) -> float:
        return self.patience * self.cpu_seconds

    @property
    def answer_seconds(self) -> float:
        """Of wall time in all, the wait for its turn included."""
        return TRIES * self.try_seconds


class Unlucky(Exception):
    """Something that is no fault of the photo's, as far as is known: trying once more may help.

    `verdict` is what the client hears when it happens twice.
    """

    def __init__(self, reason: str, verdict: DomainError | None = None) -> None:
        super().__init__(reason)
        self.verdict = verdict or Overloaded(cause="photo_process")


class Misbehaved(InvalidImage):
    """A decoder broke the rules of its sandbox or answered what no honest one does: the photo is not kept."""


class RemotePhoto(OpenPhoto):
    """Every number that comes back is checked against what was asked for.

    Every method raises: InvalidImage, UnsupportedImageFormat, ImageTooLarge; Misbehaved; Unlucky.
    """

    def __init__(self, child: Child, photo: Data, limits: PhotoLimits, deadline: float) -> None:
        """Hand the photo to its decoder and read its headers there.

        Args: deadline: the reading of `time.monotonic` at which the decoder has to be done.
        """
        self._child = child
        self._limits = limits
        self.deadline = deadline
        with Stage("decode"):
            opened = self._ask(Photo(memoryview(photo).nbytes), Opened, photo)
        self._source_format, self._upright_size = opened.source_format, opened.upright_size
        if self._upright_size.pixels > limits.max_pixels:
            raise self._misbehaved("a photo larger than allowed")

    @property
    def source_format(self) -> SourceFormat:
        return self._source_format

    @property
    def upright_size(self) -> Size:
        return self._upright_size

    def decode(self, longest_edge: int) -> None:
        with Stage("decode"):
            self._ask(Decode(longest_edge), Decoded)

    def turn(self, turns: int) -> bool:
        with Stage("decode"):
            is_turned = self._ask(Turn(turns), Turned).is_turned
        if is_turned and turns % 2:
            self._upright_size = self._upright_size.transposed()
        return is_turned

    def view(self, window: Box | None, longest_edge: int) -> RgbPixels:
        with Stage("decode"):
            viewed = self._ask(View(window, longest_edge), Viewed)
            if viewed.size.longest_edge > longest_edge:
                raise self._misbehaved(f"a view of {viewed.size.width} x {viewed.size.height}")
            try:
                return self._child.channel.receive_pixels(viewed.size)
            except (OSError, EOFError) as error:
                raise self._verdict(error) from None

    def encode(self, window: Box | None, longest_edge: int, padding: Padding = NO_PADDING) -> EncodedPhoto:
        with Stage("encode"):
            encoded = self._ask(Encode(window, longest_edge, padding), Encoded)
            expected = padding.around(window.size if window else self._upright_size).limited_to(longest_edge)
            if encoded.size != expected or encoded.jpeg_bytes > self._limits.max_jpeg_bytes:
                raise self._misbehaved(f"a picture of {encoded.size.width} x {encoded.size.height}")
            try:
                jpeg = bytes(self._child.channel.receive_bytes(encoded.jpeg_bytes))
                check_kept_form(jpeg, expected)
            except NotTheKeptForm as error:
                raise self._misbehaved(str(error)) from None
            except (OSError, EOFError) as error:
                raise self._verdict(error) from None
        return EncodedPhoto(jpeg, expected, encoded.warnings)

    def _ask(self, question: Photo | Decode | Turn | View | Encode, kind: type[Answer], payload: Data = b"") -> Answer:
        channel = self._child.channel
        channel.patience(self.deadline)
        try:
            channel.send(question, payload)
            answer = channel.receive(from_decoder)
        except Forged as error:
            raise self._misbehaved(str(error)) from None
        except (OSError, EOFError) as error:
            raise self._verdict(error) from None
        if isinstance(answer, kind):
            return answer
        raise self._refusal(answer)

    def _refusal(self, answer: FromDecoder) -> DomainError:
        match answer:
            case Unsupported():
                return UnsupportedImageFormat()
            case Invalid(message):
                return InvalidImage(message)
            case TooLarge(pixels):
                return ImageTooLarge(pixels, self._limits.max_pixels)
            case OutOfMemory():
                return InvalidImage(_TOO_HUNGRY)
            case Broken(error, where):
                log.error("photo_decoder_error", error=error, where=where)
                return InvalidImage()
            case _:
                return self._misbehaved(f"{type(answer).__name__} for an answer")

    def _verdict(self, error: Exception) -> DomainError | Unlucky:
        """Whose fault was it that the decoder ended, or did not answer in time?"""
        end = self._child.end()
        if end.cpu_seconds >= _NEARLY * self._limits.cpu_seconds or end.exit_code == -signal.SIGXCPU:
            log.warning("photo_decoder_too_slow", cpu_seconds=end.cpu_seconds)
            return InvalidImage(_TOO_SLOW)
        if isinstance(error, TimeoutError) or end.exit_code in _FROM_OUTSIDE:
            return Unlucky(f"decoder {_in_words(end)} after {end.cpu_seconds:.2f} s of CPU time")
        if end.exit_code == -signal.SIGSYS:
            return self._misbehaved("a system call that no photo needs")
        if end.exit_code == 0:
            return self._misbehaved("an end before the answer")
        log.warning("photo_decoder_died", exit_code=end.exit_code)
        return InvalidImage()

    def _misbehaved(self, what: str) -> Misbehaved:
        self._child.end()
        log.error("photo_decoder_misbehaved", what=what)
        return Misbehaved()


class NotTheKeptForm(Exception):
    """The bytes are not what an honest encoder of ours writes; the text says where they differ."""


def check_kept_form(jpeg: bytes | bytearray, size: Size) -> None:
    """Walk a picture marker by marker: baseline, 8 bits, three components, of exactly this size, one scan, no metadata,
    no byte in a table that is none of it, and nothing after the end.

    Raises: NotTheKeptForm. Source: ITU-T T.81, B.1 and B.2; HTTP contract, "The stored image is always".
    """
    if jpeg[:2] != _SOI:
        raise NotTheKeptForm("it does not begin as a JPEG")
    position, markers = 2, b""
    while not markers.endswith(bytes((_SOS,))):
        marker, content = _segment(jpeg, position)
        if marker == _SOF0:
            _check_size(content, size)
        position += 4 + len(content)
        markers += bytes((marker,))
        if len(markers) > _MAX_SEGMENTS:
            raise NotTheKeptForm("it has too many segments")
    if markers.count(_SOF0) != 1 or not {_DQT, _DHT} <= set(markers):
        raise NotTheKeptForm(f"it has the segments {markers.hex(' ')}")
    found = _NEXT_MARKER.search(jpeg, position)
    if found is None or found.group() != _EOI:
        raise NotTheKeptForm("its scan does not end with the picture")
    if found.end() != len(jpeg):
        raise NotTheKeptForm(f"{len(jpeg) - found.end()} bytes follow its end")


def _segment(jpeg: bytes | bytearray, position: int) -> tuple[int, bytes]:
    """The marker of the segment that begins here, and what it holds."""
    head = jpeg[position : position + 4]
    if len(head) < 4 or head[0] != 0xFF or (shape := _SHAPES.get(head[1])) is None:
        raise NotTheKeptForm(f"it has {head[:2].hex()} among its segments")
    end = position + 2 + int.from_bytes(head[2:], "big")
    content = bytes(jpeg[position + 4 : end])
    if end != position + 4 + len(content):
        raise NotTheKeptForm("a segment ends outside of it")
    if not shape.fullmatch(content) or (head[1] == _DHT and not _are_codes(content)):
        raise NotTheKeptForm(f"a segment {head[:2].hex()} holds what does not belong there")
    return head[1], content


def _check_size(frame: bytes, size: Size) -> None:
    """Source: T.81, B.2.2: precision, lines, samples per line."""
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    if (width, height) != (size.width, size.height):
        raise NotTheKeptForm(f"it has {width} x {height} pixels")


def _are_codes(tables: bytes) -> bool:
    """Source: T.81, B.2.4.2 and C: for each length from 1 to 16 bits so many codes, and what they stand for."""
    while tables:
        counts = tables[1:17]
        end = 17 + sum(counts)
        taken = sum(count << 16 - length for length, count in enumerate(counts, 1))
        if tables[0] not in {0x00, 0x01, 0x10, 0x11} or len(counts) < 16 or end > len(tables) or taken > 0xFFFF:
            return False
        tables = tables[end:]
    return True


def _in_words(end: Ended) -> str:
    return "is gone with its parent" if end.exit_code is None else f"ended with {end.exit_code}"
