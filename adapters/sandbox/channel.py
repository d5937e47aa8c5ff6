"""Messages between the server and its sandboxed processes, and the sockets that carry them.

Nothing that comes out of the sandbox is unpickled: whoever takes over a decoder could otherwise run code in the server
by answering. A message is MessagePack behind its length, checked against the types below and bounded in size; pixels
and JPEGs follow the message that announces them, as they are.
"""

import socket
import struct
import time
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from application.ports.photos import RgbPixels
from domain.geometry import NO_PADDING, Box, Padding, Size
from domain.person import Outline, SeenPhoto
from domain.photo import Appearance, PhotoWarning, SourceFormat

MAX_MESSAGE_BYTES: Final = 1_000_000  # fifty people with their landmarks and outlines, or the text of an exception
_LENGTH: Final = struct.Struct("!I")
_BUFFER_BYTES: Final = 1 << 20  # fewer turns for each photo; the kernel may grant less

Edge = Annotated[int, Meta(ge=1, le=16_384)]
Text = Annotated[str, Meta(max_length=1_000, pattern=r"\A[^\x00-\x1f\x7f-\x9f]*\Z")]
CodeText = Annotated[str, Meta(max_length=300, pattern=r"\A[\w.:<> -]*\Z")]
"""Names of files and functions. It goes into a log, where a process that was taken over shall not tell what it saw."""


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A parent has its libraries, or a detector its models."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A parent or a detector cannot do its work, and why, for the operator."""

    reason: str
    sandbox_unavailable: bool = False


class Ended(msgspec.Struct, frozen=True, tag=True):
    """From a parent: a child is gone. `exit_code` as in subprocess; None: it could not even be made."""

    exit_code: int | None
    cpu_seconds: float


class Photo(msgspec.Struct, frozen=True, tag=True):
    """To a decoder: a stranger's file; its bytes follow."""

    size_bytes: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    """The headers of the photo are acceptable."""

    source_format: SourceFormat
    upright_size: Size


class Decode(msgspec.Struct, frozen=True, tag=True):
    """To a decoder: decode the pixels now, for a picture of this size at most. It answers `Decoded`."""

    longest_edge: int


class Decoded(msgspec.Struct, frozen=True, tag=True):
    """All views are quick from here on."""


class Turn(msgspec.Struct, frozen=True, tag=True):
    """To a decoder: from now on the photo is upright after so many quarter turns counterclockwise."""

    turns: Annotated[int, Meta(ge=1, le=3)]


class Turned(msgspec.Struct, frozen=True, tag=True):
    """Whether it is: a file that says which way is up stays as it is."""

    is_turned: bool


class View(msgspec.Struct, frozen=True, tag=True):
    """A wish to see a window of the photo; a detector asks the server, the server the decoder."""

    window: Box | None
    longest_edge: Edge


class Viewed(msgspec.Struct, frozen=True, tag=True):
    """What was asked for; `size.pixels` times three bytes follow."""

    size: Size


class Gone(msgspec.Struct, frozen=True, tag=True):
    """To a detector: there will be no such view; and its answer, that it looks no further."""


class Encode(msgspec.Struct, frozen=True, tag=True):
    """To a decoder: the picture to keep, and then the end."""

    window: Box | None
    longest_edge: Edge
    padding: Padding = NO_PADDING


class Encoded(msgspec.Struct, frozen=True, tag=True):
    """The picture to keep; so many bytes of JPEG follow."""

    size: Size
    jpeg_bytes: Annotated[int, Meta(ge=1)]
    warnings: Annotated[tuple[PhotoWarning, ...], Meta(max_length=8)]

    def __post_init__(self) -> None:
        if not all(warning.message.isprintable() and len(warning.message) <= 1_000 for warning in self.warnings):
            raise ValueError("a warning that nobody can read")


class Unsupported(msgspec.Struct, frozen=True, tag=True):
    """Not one of the four formats."""


class Invalid(msgspec.Struct, frozen=True, tag=True):
    """The photo is damaged; the text is for its owner."""

    message: Text


class TooLarge(msgspec.Struct, frozen=True, tag=True):
    """More pixels than allowed."""

    pixels: int


class OutOfMemory(msgspec.Struct, frozen=True, tag=True):
    """The limit of the process was reached."""


class Broken(msgspec.Struct, frozen=True, tag=True):
    """Our code, or a library's, raised what it should not; the kind of error and where, never its text."""

    error: CodeText
    where: CodeText


class Begin(msgspec.Struct, frozen=True, tag=True):
    """To a detector: load the models, and stay on this core."""

    core: int | None


class Detect(msgspec.Struct, frozen=True, tag=True):
    """To a detector: who is in the photo of this format and size?"""

    source_format: SourceFormat
    upright_size: Size


class Seen(msgspec.Struct, frozen=True, tag=True):
    """The people in it, and where the picture itself is."""

    photo: SeenPhoto


class Measure(msgspec.Struct, frozen=True, tag=True):
    """To a detector: how do the pixels of a region look?"""

    source_format: SourceFormat
    upright_size: Size
    region: Box | None
    outline: Outline | None


class Measured(msgspec.Struct, frozen=True, tag=True):
    """So they look."""

    appearance: Appearance


class Ping(msgspec.Struct, frozen=True, tag=True):
    """Is anybody there?"""


Refusal = Unsupported | Invalid | TooLarge | OutOfMemory | Broken
ToDecoder = Photo | Decode | Turn | View | Encode
FromDecoder = Opened | Decoded | Turned | Viewed | Encoded | Refusal
ToDetector = Begin | Detect | Measure | Viewed | Gone | Ping
FromDetector = Ready | Failed | View | Gone | Seen | Measured | OutOfMemory | Broken | Ping
FromParent = Ready | Failed | Ended

to_decoder: Final[msgspec.msgpack.Decoder[ToDecoder]] = msgspec.msgpack.Decoder(ToDecoder)
from_decoder: Final[msgspec.msgpack.Decoder[FromDecoder]] = msgspec.msgpack.Decoder(FromDecoder)
to_detector: Final[msgspec.msgpack.Decoder[ToDetector]] = msgspec.msgpack.Decoder(ToDetector)
from_detector: Final[msgspec.msgpack.Decoder[FromDetector]] = msgspec.msgpack.Decoder(FromDetector)
from_parent: Final[msgspec.msgpack.Decoder[FromParent]] = msgspec.msgpack.Decoder(FromParent)
_encoder: Final = msgspec.msgpack.Encoder()

Message = TypeVar("Message")
Data = bytes | bytearray | memoryview


class Forged(Exception):
    """A sandboxed process said what no honest one says."""


class Channel:
    """One end of a socket between two processes; used by one thread at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until: float | None = None

    @classmethod
    def pair(cls) -> tuple["Channel", socket.socket]:
        """A new channel, and the other end for somebody else."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        return cls(ours), theirs

    def patience(self, until: float) -> None:
        """From now on whoever waits for the other side gives up at this reading of `time.monotonic`."""
        self._until = until

    def _hurry(self) -> None:
        """Before each wait: whoever answers byte by byte has no more time than others. Raises: TimeoutError."""
        if self._until is None:
            return
        if (left := self._until - time.monotonic()) <= 0:
            raise TimeoutError
        self._connection.settimeout(left)

    def send(self, message: msgspec.Struct, payload: Data = b"") -> None:
        """Raises: OSError, for instance BrokenPipeError or TimeoutError."""
        frame = bytearray(_LENGTH.size)
        _encoder.encode_into(message, frame, _LENGTH.size)
        _LENGTH.pack_into(frame, 0, len(frame) - _LENGTH.size)
        for part in (frame, payload):
            if part:
                self._hurry()
                self._connection.sendall(part)

    def receive(self, decoder: msgspec.msgpack.Decoder[Message]) -> Message:
        """Raises: EOFError when the other side is gone; Forged; OSError, for instance TimeoutError."""
        (size_bytes,) = _LENGTH.unpack(self.receive_bytes(_LENGTH.size))
        if size_bytes > MAX_MESSAGE_BYTES:
            raise Forged(f"a message of {size_bytes} bytes")
        try:
            return decoder.decode(self.receive_bytes(size_bytes))
        except (msgspec.DecodeError, ValueError):  # ValueError: a size of no pixels
            raise Forged("a message of no known type") from None

    def receive_bytes(self, size_bytes: int) -> bytearray:
        """Exactly so many. Raises: as `receive`."""
        received = bytearray(size_bytes)
        rest = memoryview(received)
        while rest:
            self._hurry()
            count = self._connection.recv_into(rest)
            if count == 0:
                raise EOFError
            rest = rest[count:]
        return received

    def send_view(self, view: RgbPixels) -> None:
        self.send(Viewed(view.size), memoryview(view.data))

    def receive_pixels(self, size: Size) -> RgbPixels:
        """Raises: as `receive`."""
        return RgbPixels(size, self.receive_bytes(size.pixels * 3))

    def close(self) -> None:
        self._connection.close()
