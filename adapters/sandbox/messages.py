"""What the server, the fork server and the workers say to one another, and how it is framed.

Nothing that comes out of a worker is unpickled: whoever takes over a decoder could otherwise run code in the server
by answering. A reply is MessagePack, checked against the types below, and bounded in size.
"""

import struct
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from application.ports.photos import PreparedPhoto
from application.request_trace import StageSpan

PHOTO_HEADER: Final = struct.Struct("!Q?")  # to a worker: bytes of the photo that follows, and whether to crop
LENGTH: Final = struct.Struct("!I")  # before every other message: its bytes
COMMAND: Final = struct.Struct("!cIi")  # to the fork server: what to do, with which worker, on which core
FORK, KILL = b"F", b"K"
ANY_CORE: Final = -1
MAX_STAGES: Final = 64  # an honest worker has about six


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The fork server has imported all it needs, or a worker has built its decoder and detector."""

    sandboxed: bool


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The fork server or a worker cannot do its work, and why, for the operator."""

    reason: str
    sandbox_unavailable: bool = False


class Started(msgspec.Struct, frozen=True, tag=True):
    """The fork server has made a worker."""

    worker: int
    process_id: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A worker is gone: `exit_code` as in subprocess, the negative number of a signal that killed it."""

    worker: int
    exit_code: int


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """The photo is done, and what took how long."""

    photo: PreparedPhoto
    stages: Annotated[tuple[StageSpan, ...], Meta(max_length=MAX_STAGES)] = ()


class Unsupported(msgspec.Struct, frozen=True, tag=True):
    """Not one of the four formats."""


class Invalid(msgspec.Struct, frozen=True, tag=True):
    """The photo is damaged; the text is for its owner."""

    message: str


class TooLarge(msgspec.Struct, frozen=True, tag=True):
    """More pixels than allowed."""

    pixels: int
    limit: int


class OutOfMemory(msgspec.Struct, frozen=True, tag=True):
    """The worker's memory limit was reached."""


class Broken(msgspec.Struct, frozen=True, tag=True):
    """Our code, or a library's, raised what it should not; the kind of error and where, never its text."""

    error: str
    where: str


FromForkServer = Ready | Failed | Started | Ended
Reply = Ready | Failed | Prepared | Unsupported | Invalid | TooLarge | OutOfMemory | Broken

fork_server_messages: Final = msgspec.msgpack.Decoder(FromForkServer)
replies: Final = msgspec.msgpack.Decoder(Reply)
_encoder: Final = msgspec.msgpack.Encoder()


def framed(message: msgspec.Struct) -> bytearray:
    """The message in MessagePack behind its length."""
    frame = bytearray(LENGTH.size)
    _encoder.encode_into(message, frame, LENGTH.size)
    LENGTH.pack_into(frame, 0, len(frame) - LENGTH.size)
    return frame
