"""Seeded mutation fuzzing of the photo decoder: `python -m tests.fuzz_photos --seconds 60 --seed 1`.

Photos of all four families are mutated and decoded in a child process under a memory limit. Every photo has to be
accepted or refused by name, in bounded time; a crash, a hang or any other exception fails the run, and the photo that
did it is written to `--keep`. The same seed gives the same photos in the same order.
"""

import argparse
import multiprocessing
import random
import resource
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from adapters.imaging.photo_decoder import ImagingPhotoDecoder
from domain.errors import ImageTooLarge, InvalidImage, UnsupportedImageFormat
from domain.geometry import Box
from tests import photos

_MAX_SECONDS_PER_PHOTO = 10.0  # the time that a worker has
_MAX_ADDRESS_SPACE_BYTES = 3 * 1024**3
_EXPECTED = {"accepted", "InvalidImage", "UnsupportedImageFormat", "ImageTooLarge"}
_TELLING_NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def seeds() -> dict[str, bytes]:
    """What is mutated: small photos that between them use every path of the scanners and decoders."""
    picture = photos.astronaut(96, 120)
    rgba = np.dstack([np.asarray(picture), np.linspace(0, 255, 96 * 120).reshape(120, 96).astype(np.uint8)])
    profile = photos.matrix_profile(np.eye(3) * 0.9, photos.SRGB_CURVE)
    transparent, size = Image.fromarray(rgba), (96, 120)
    deep = np.asarray(picture).astype(np.uint16) * 257
    return {
        "jpeg baseline": photos.with_segments(
            photos.jpeg(picture), photos.exif_segment(6), *photos.icc_segments(profile)
        ),
        "jpeg progressive": photos.jpeg(picture, progressive=True, subsampling=2),
        "jpeg restarts": photos.jpeg(picture, restart_marker_blocks=2),
        "jpeg inks": photos.jpeg(picture.convert("CMYK")),
        "jpeg gray": photos.jpeg(picture.convert("L"), progressive=True),
        "png colors": photos.with_chunks(
            photos.encoded(picture, "PNG", icc_profile=profile), photos.chunk(b"eXIf", photos.exif(8))
        ),
        "png palette": photos.encoded(picture.quantize(30), "PNG", transparency=3),
        "png transparent": photos.encoded(transparent, "PNG"),
        "png deep": photos.png_16(deep, 2, photos.chunk(b"tRNS", bytes(6))),
        "png interlaced": photos.raw_png(1, 3, 8, 0, b"\0\x10\0\x30\0\x20", interlace=1),
        "png bits": photos.encoded(picture.convert("1"), "PNG"),
        "webp lossy": photos.encoded(picture, "WEBP"),
        "webp lossless": photos.encoded(transparent, "WEBP", lossless=True),
        "webp transparent": photos.encoded(transparent, "WEBP"),
        "webp extended": photos.webp_with(
            photos.encoded(picture, "WEBP"), size,
            photos.riff_chunk(b"EXIF", photos.exif(3)), photos.riff_chunk(b"ICCP", profile),
        ),
        "webp animated": photos.encoded(picture, "WEBP", save_all=True, append_images=[transparent.convert("RGB")]),
        "webp flat": photos.flat_webp(3000, 3000),
        "heic": photos.heic(picture, chroma=420),
        "heic transparent": photos.heic(transparent),
        "heic gray": photos.heic(picture.convert("L")),
        "heic tiles": photos.tiled_heic(picture, 64, photos.irot(1), photos.imir(0)),
        "heic profile": photos.heic(picture, icc_profile=profile),
    }  # fmt: skip


def mutated(photo: bytes, other: bytes, chance: random.Random) -> bytes:
    """A few things done to a photo, half of the time with its checksums and lengths put right afterwards."""
    data = bytearray(photo)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        if len(data) < 8:
            break
        chance.choice(_MUTATIONS)(data, other, chance)
    return _with_right_sums(bytes(data)) if chance.random() < 0.5 else bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Anywhere, but every second time among the headers at the beginning."""
    return chance.randrange(len(data) if chance.random() < 0.5 else min(len(data), 700))


def _flip(data: bytearray, _other: bytes, chance: random.Random) -> None:
    data[_place(data, chance)] ^= 1 << chance.randrange(8)


def _set_number(data: bytearray, _other: bytes, chance: random.Random) -> None:
    width = chance.choice((1, 2, 4))
    number = chance.choice(_TELLING_NUMBERS) & ((1 << 8 * width) - 1)
    at = _place(data, chance)
    data[at : at + width] = number.to_bytes(width, chance.choice(("big", "little")))


def _cut(data: bytearray, _other: bytes, chance: random.Random) -> None:
    del data[_place(data, chance) :]


def _remove(data: bytearray, _other: bytes, chance: random.Random) -> None:
    at = _place(data, chance)
    del data[at : at + chance.choice((1, 2, 12, 100))]


def _repeat(data: bytearray, _other: bytes, chance: random.Random) -> None:
    at = _place(data, chance)
    piece = data[at : at + chance.choice((1, 4, 60, 700))]
    data[at:at] = piece * chance.choice((1, 3, 200))


def _splice(data: bytearray, other: bytes, chance: random.Random) -> None:
    at, start = _place(data, chance), chance.randrange(len(other))
    data[at:at] = other[start : start + chance.choice((4, 40, 400))]


def _noise(data: bytearray, _other: bytes, chance: random.Random) -> None:
    at = _place(data, chance)
    data[at : at + 16] = chance.randbytes(16)


_MUTATIONS: tuple[Callable[[bytearray, bytes, random.Random], None], ...] = (
    _flip, _flip, _set_number, _set_number, _cut, _remove, _repeat, _splice, _noise,
)  # fmt: skip


def _with_right_sums(data: bytes) -> bytes:
    """PNG checksums and the RIFF length put right, so that the damage gets past the first check."""
    if data[:4] == b"RIFF" and len(data) > 8:
        return data[:4] + struct.pack("<I", len(data) - 8) + data[8:]
    if not data.startswith(photos.PNG_SIGNATURE):
        return data
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = min(at + 12 + int.from_bytes(data[at : at + 4], "big"), len(data))
        body = data[at + 4 : end - 4]
        parts += [data[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at = end
    return b"".join([*parts, data[at:]])


def _mutants(seed: int) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(seed)
    corpus = seeds()
    names = list(corpus)
    yield from corpus.items()
    while True:
        name = chance.choice(names)
        other = corpus[chance.choice([n for n in names if n.split()[0] == name.split()[0]])]
        yield name, mutated(corpus[name], other, chance)


def _decode_what_comes(pipe: Connection) -> None:
    """The child: decodes one photo after another as a worker does, and says how each ended."""
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE_BYTES, _MAX_ADDRESS_SPACE_BYTES))
    decoder = ImagingPhotoDecoder()
    while True:
        photo = pipe.recv_bytes()
        try:
            opened = decoder.open(photo)
            opened.view(None, 512)
            size = opened.upright_size
            opened.encode(Box(0, 0, max(1, size.width // 2), size.height), 2000)
            outcome = "accepted"
        except (InvalidImage, UnsupportedImageFormat, ImageTooLarge) as refusal:
            outcome = type(refusal).__name__
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        pipe.send(outcome)


class _Child:
    """A process that decodes; started again when a photo kills it."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_decode_what_comes, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def outcome(self, photo: bytes) -> str:
        self._pipe.send_bytes(photo)
        try:
            if self._pipe.poll(_MAX_SECONDS_PER_PHOTO):
                return str(self._pipe.recv())
            ending = f"took more than {_MAX_SECONDS_PER_PHOTO:.0f} s"
        except EOFError:
            self._process.join()
            ending = f"died with exit code {self._process.exitcode}"
        self.stop()
        self._start()
        return ending

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def fuzz(seconds: float, seed: int, keep: Path | None) -> bool:
    """Mutate and decode for that long. Returns: whether every photo ended as it should."""
    child, counts, slowest = _Child(), Counter[tuple[str, str]](), 0.0
    child.outcome(b"")  # the imports of a fresh process are not the first photo's fault
    ends_at = time.monotonic() + seconds
    for name, photo in _mutants(seed):
        started_at = time.monotonic()
        if started_at >= ends_at:
            break
        outcome = child.outcome(photo)
        slowest = max(slowest, time.monotonic() - started_at)
        counts[name.split()[0], outcome] += 1
        if outcome not in _EXPECTED and keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / f"{name.replace(' ', '-')}-{zlib.crc32(photo):08x}").write_bytes(photo)
    child.stop()
    _print(counts, slowest, seed)
    return all(outcome in _EXPECTED for _, outcome in counts)


def _print(counts: Counter[tuple[str, str]], slowest: float, seed: int) -> None:
    table = Table(
        "family", "outcome", "photos", title=f"{counts.total():,} photos, seed {seed}, slowest {slowest:.2f} s"
    )
    for (family, outcome), count in sorted(counts.items()):
        table.add_row(family, outcome, f"{count:,}", style=None if outcome in _EXPECTED else "red")
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for the photos that failed")
    given = parser.parse_args()
    return 0 if fuzz(given.seconds, given.seed, given.keep) else 1


if __name__ == "__main__":
    sys.exit(main())
