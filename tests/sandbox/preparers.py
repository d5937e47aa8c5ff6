"""What the workers of these tests run: real code that does, on request, what a hostile photo might make a decoder do.

A "photo" is a command and its argument, `b"sleep 5"`; everything runs inside the sandboxed worker.
"""

import ctypes
import os
import pickle
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from application.ports.photos import PreparedPhoto
from domain.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat
from domain.geometry import Box, Size
from domain.person import Framing, PersonReport
from domain.photo import PhotoWarning, SourceFormat, WarningCode


def a_prepared_photo(jpeg: bytes) -> PreparedPhoto:
    """A result with every field in use."""
    return PreparedPhoto(
        jpeg=jpeg,
        size=Size(1600, 2000),
        source_format=SourceFormat.HEIC,
        source_size=Size(3024, 4032),
        crop=Box(0, 126, 3024, 3780),
        person=PersonReport(1, Box(610, 300, 1700, 3500), None, Framing.FULL_BODY),
        warnings=(PhotoWarning(WarningCode.BLURRY, "The photo is blurry."),),
    )


class Obedient:
    """Does what the photo says and answers with what came of it in place of the JPEG."""

    def __init__(self) -> None:
        self.hoard: list[bytes] = []

    def execute(self, photo: bytes | memoryview, *, crop: bool) -> PreparedPhoto:
        command, _, argument = bytes(photo[:200]).decode("ascii", "replace").partition(" ")
        if command in ACTIONS:
            return a_prepared_photo(ACTIONS[command](self, argument))
        return a_prepared_photo(bytes(photo) if crop else bytes(reversed(photo)))


class Shrinking:
    """Touches every page of the photo and answers with half a megabyte: all hand-over, no pixels."""

    def execute(self, photo: bytes | memoryview, *, crop: bool) -> PreparedPhoto:
        sum(photo[::4096])
        return a_prepared_photo(bytes(500_000))


def obedient() -> Obedient:
    return Obedient()


def without_model() -> Obedient:
    raise FileNotFoundError("No model at /models/face.tflite: run `make models`.")


def dies_at_birth() -> Obedient:
    os._exit(7)


def never_ready() -> Obedient:
    threading.Event().wait()
    return Obedient()


def healthy_while(flag: str) -> Obedient:
    """Builds only while the file is there: a model that somebody deletes under a running server."""
    return Obedient() if Path(flag).exists() else without_model()


def sockets_opened_by_a_thread(_: Obedient, __: str) -> bytes:
    """What comes of asking for sockets of every family in another thread, as MediaPipe's reporting does."""
    outcomes: list[str] = []

    def ask() -> None:
        for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, socket.AF_NETLINK, socket.AF_PACKET):
            try:
                socket.socket(family, socket.SOCK_DGRAM).close()
                outcomes.append(f"{family.name} opened")
            except OSError as error:
                outcomes.append(f"{family.name} {error.errno}")

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return " ".join(outcomes).encode()


def system_call(_: Obedient, argument: str) -> bytes:
    """The errno of a raw system call with the given number and arguments, or `done`."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(*(ctypes.c_long(int(word)) for word in argument.split()))
    return str(ctypes.get_errno()).encode() if result < 0 else b"done"


def attempt(action: Callable[[str], object]) -> Callable[[Obedient, str], bytes]:
    def outcome(_: Obedient, argument: str) -> bytes:
        try:
            action(argument)
        except OSError as error:
            return f"refused: {error.errno}".encode()
        return b"allowed"

    return outcome


def open_descriptors(_: Obedient, __: str) -> bytes:
    """What every open file descriptor of the worker is, without the folder of them that Landlock hides."""
    kinds = []
    for descriptor in range(64):
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError:
            continue
        kinds.append("socket" if stat.S_ISSOCK(mode) else "device" if stat.S_ISCHR(mode) else "other")
    return " ".join(kinds).encode()


def sleep(_: Obedient, argument: str) -> bytes:
    time.sleep(float(argument))
    return b"slept"


def eat_memory(preparer: Obedient, argument: str) -> bytes:
    """Takes so many megabytes, page by page, and keeps them."""
    for _ in range(int(argument)):
        preparer.hoard.append(b"\1" * 1_000_000)
    return b"ate"


def refuse(_: Obedient, argument: str) -> bytes:
    raise {
        "unsupported": UnsupportedImageFormat(),
        "invalid": InvalidImage("The photo ends in the middle."),
        "large": ImageTooLarge(100_000_000, 64_000_000),
        "bug": KeyError("a secret in the photo"),
    }[argument]


def forge(_: Obedient, argument: str) -> bytes:
    """Answers behind the back of the honest code, as whoever has taken over a decoder could."""
    answer = {
        "nonsense": b"\x00\x00\x00\x04\xff\xff\xff\xff",
        "size": b"\xff\xff\xff\xff" + bytes(100),
        "pickle": b"\x00\x00\x00\x40" + pickle.dumps(ArithmeticError("executed")).ljust(64, b"."),
    }[argument]
    os.write(next(number for number in range(64) if _is_socket(number)), answer)
    return b"forged"


def _is_socket(descriptor: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def crash(_: Obedient, __: str) -> bytes:
    """A null pointer, as in a broken decoder."""
    ctypes.string_at(0)
    return b"survived"


ACTIONS: dict[str, Callable[[Obedient, str], bytes]] = {
    "sleep": sleep,
    "eat": eat_memory,
    "refuse": refuse,
    "forge": forge,
    "crash": crash,
    "abort": lambda _, __: os.abort(),
    "exit": lambda _, argument: os._exit(int(argument)),
    "pid": lambda _, __: str(os.getpid()).encode(),
    "environment": lambda _, __: "\n".join(f"{name}={value}" for name, value in os.environ.items()).encode(),
    "descriptors": open_descriptors,
    "sockets": sockets_opened_by_a_thread,
    "syscall": system_call,
    "read": attempt(lambda path: Path(path).read_bytes()),
    "write": attempt(lambda path: Path(path).write_bytes(b"x")),
    "load": attempt(ctypes.CDLL),
    "run": attempt(lambda path: subprocess.run([path], check=False)),
    "fork": attempt(lambda _: os.fork()),
    "signal": attempt(lambda process_id: os.kill(int(process_id), 0)),
}
