"""A person and a garment as one message to a worker process."""

import struct
from typing import Final

PERSON_BYTES: Final = struct.Struct("!I")


def pack(person_jpeg: bytes, garment_jpeg: bytes) -> bytes:
    """The length of the first picture, then both."""
    return PERSON_BYTES.pack(len(person_jpeg)) + person_jpeg + garment_jpeg


def unpack(message: bytes | memoryview) -> tuple[bytes, bytes]:
    """The person's picture and the garment's."""
    (person_bytes,) = PERSON_BYTES.unpack_from(message)
    pictures = message[PERSON_BYTES.size :]
    return bytes(pictures[:person_bytes]), bytes(pictures[person_bytes:])
