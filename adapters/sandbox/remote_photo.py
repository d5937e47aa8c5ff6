"""A stranger's photo that only one decoder process ever sees, as the server deals with it."""

import signal
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
from adapters.sandbox.kept_jpeg import NotTheKeptForm, check_kept_form
from application.ports.photos import EncodedPhoto, OpenPhoto, RgbPixels
from application.request_trace import Stage
from domain.errors import DomainError, ImageTooLarge, InvalidImage, Overloaded, UnsupportedImageFormat
from domain.geometry import NO_PADDING, Box, Padding, Size
from domain.photo import SourceFormat

log = structlog.get_logger()

_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, None)  # the kernel's OOM killer too; or the parent died
_TOO_SLOW: Final = "The photo takes too long to read. Send it again as a plain JPEG."
_TOO_HUNGRY: Final = "The photo needs too much memory to read. Send it again as a plain JPEG."
_NEARLY: Final = 0.95  # of the CPU budget: the kernel's clock of it and ours tick apart

Answer = TypeVar("Answer")


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

    def __init__(self, child: Child, photo: Data, *, deadline: float, cpu_seconds: float, max_jpeg_bytes: int) -> None:
        """Hand the photo to its decoder and read its headers there.

        Args: deadline: the reading of `time.monotonic` at which the decoder has to be done.
        """
        self._child = child
        self.deadline = deadline
        self._cpu_seconds = cpu_seconds
        self._max_jpeg_bytes = max_jpeg_bytes
        with Stage("decode"):
            opened = self._ask(Photo(memoryview(photo).nbytes), Opened, photo)
        self._source_format, self._upright_size = opened.source_format, opened.upright_size

    @property
    def source_format(self) -> SourceFormat:
        return self._source_format

    @property
    def upright_size(self) -> Size:
        return self._upright_size

    def decode(self) -> None:
        with Stage("decode"):
            self._ask(Decode(), Decoded)

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
            if encoded.size != expected or encoded.jpeg_bytes > self._max_jpeg_bytes:
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
            case TooLarge(pixels, limit):
                return ImageTooLarge(pixels, limit)
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
        if end.cpu_seconds >= _NEARLY * self._cpu_seconds or end.exit_code == -signal.SIGXCPU:
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


def _in_words(end: Ended) -> str:
    return "is gone with its parent" if end.exit_code is None else f"ended with {end.exit_code}"
