"""Names for files that are no photo we read, with the client's mistake that makes them and the line that fixes it."""

import base64
import binascii
import re
from typing import Final

_HEAD_BYTES: Final = 2048
_WANTED: Final = "Send a JPEG, PNG, WebP or HEIC photo."
_PHOTO_MAGIC: Final = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WebP", b"GIF8": "GIF"}
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{16,}[=\s]*")

_BINARY: Final[tuple[tuple[bytes, str], ...]] = (
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF or raw camera picture"),
    (b"MM\0*", "a TIFF or raw camera picture"),
    (b"II+\0", "a BigTIFF picture"),
    (b"II\xbc\x01", "a JPEG XR picture"),
    (b"FUJIFILM", "a raw camera picture"),
    (b"IIRO", "a raw camera picture"),
    (b"IIU\0", "a raw camera picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop document"),
    (b"%!PS", "a PostScript drawing"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript drawing"),
    (b"{\\rtf", "an RTF document"),
    (b"\xd0\xcf\x11\xe0", "an Office document"),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska video"),
    (b"\0\0\x01\xba", "an MPEG video"),
    (b"FLV\x01", "a Flash video"),
    (b"0&\xb2u", "a Windows Media video"),
    (b"ID3", "an MP3 recording"),
    (b"OggS", "an Ogg recording"),
    (b"fLaC", "a FLAC recording"),
    (b"PK\x03\x04", "a ZIP archive (or a document that is one)"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\xfd7zXZ", "xz-compressed data; send the file itself, uncompressed"),
    (b"BZh", "bzip2-compressed data; send the file itself, uncompressed"),
    (b"\x1f\x8b", "gzip-compressed data; send the file itself, uncompressed"),
    (b"(\xb5/\xfd", "Zstandard-compressed data; send the file itself, uncompressed"),
    (b"bplist", "an Apple property list; send the photo it stands for"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\0\0\x01\0", "an icon"),
)
_MOVIE_BOXES: Final = frozenset({b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"})
_TS_PACKET_BYTES: Final = (188, 192)
"""Of MPEG transport streams, as broadcast and as camcorders write them (.ts, .m2ts): each packet has a G in it."""
_RIFF: Final = {b"AVI ": "an AVI video", b"WAVE": "a WAV recording"}
_BRANDS: Final = {
    b"avif": "an AVIF picture",
    b"avis": "an AVIF picture",
    b"avio": "an AVIF picture",
    b"qt  ": "a QuickTime video; of a Live Photo send the still picture",
    b"crx ": "a raw camera picture (CR3)",
    b"jxl ": "a JPEG XL picture",
    b"jp2 ": "a JPEG 2000 picture",
    b"M4A ": "an audio recording",
}
_STILL_BRANDS: Final = frozenset({b"mif1", b"mif2", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
_READ_AS_TEXT: Final = (
    *(b"\xef\xbf\xbd\xef\xbf\xbd", b"\xef\xbf\xbdPNG", b"\xc3\xbf\xc3\x98\xc3\xbf", b"\xc2\x89PNG"),
    *(b"\x89PNG\n", b"\x89PNG\r\r", b"\x89PNG\r\n\x1a\r"),
)
"""As UTF-8, as Latin-1, and with the line ends of another system."""
_SHORTEST_PHOTO_BYTES: Final = 16
_AROUND_A_VALUE: Final = '" \t\r\n'
_BLOB: Final = 'append the File or Blob itself: form.append("file", file)'
_DEVICE: Final = (
    'the address of a file on the device, not the file; in React Native: form.append("file", {uri, name: "photo.jpg",'
    ' type: "image/jpeg"})'
)
_TEXT: Final[tuple[tuple[str, str], ...]] = (
    (r"\[object \w+\]", f"the text of a JavaScript object; {_BLOB}"),
    (r"(undefined|null|nan|none|true|false|nil)\s*$", f"the text of a value that was not there; {_BLOB}"),
    (r"<(_io|__main__|django|starlette|fastapi|werkzeug)?[\w. ]*\bobject at 0x|<_io\.|<FileStorage|<UploadFile|<PIL\.",
     "the text of a Python object; send the open file: files={'file': open(path, 'rb')}"),
    (r"#<|java\.|System\.|\[B@", "the text of an object; send its bytes"),
    (r"(file|content|ph|assets-library|asset|capacitor)://", _DEVICE),
    (r"blob:", 'a blob: URL, which only its page can read; form.append("file", await (await fetch(url)).blob())'),
    (r"https?://|//", "a URL, not a photo; fetch it and send the bytes, or start the try-on with source.url"),
    (r"data:", 'a data URL; form.append("file", await (await fetch(dataUrl)).blob())'),
    (r"@?(/|~/|\.{1,2}/|[a-z]:\\|\\\\)[^\n<>]*[\w)]\s*$", "a path, not the file; in curl write -F file=@photo.jpg"),
    (r"@?([\w .()-]+[/\\])*[\w .()-]+\.(jpe?g|png|webp|hei[cf])\s*$",
     "a file name, not the file; in curl write -F file=@photo.jpg"),
    (r"version https://git-lfs", "a pointer of Git LFS, not the file; run git lfs pull"),
    (r"b['\"]\\x", "the text of Python bytes; send the bytes themselves"),
    (r"\{\s*\"type\"\s*:\s*\"Buffer\"", "a Node Buffer as JSON; send its bytes: new Blob([buffer])"),
    (r"\[?\s*\d{1,3}\s*(,\s*\d{1,3}\s*){3}",
     "an array of numbers as text; send the bytes: new Blob([new Uint8Array(numbers)])"),
    (r"(ff\s?d8\s?ff|89\s?50\s?4e\s?47|52\s?49\s?46\s?46)", "a photo as hexadecimal text; decode it first"),
    (r"[\[{]", "JSON; it may be the answer of another service. Check its status before you send its body on"),
    (r"(<\?xml.*?|<!--.*?-->|<!doctype svg.*?)*\s*<svg\b|.*<svg\b.*xmlns", "an SVG drawing"),
    (r"<!doctype html|<html|<head|<body|.*<html",
     "an HTML page, probably of an error or a log-in. Check the status of the answer it came in"),
    (r"<\?xml|<\w", "XML; it may be the error of an object store. Check the status of the answer it came in"),
    (r"--[^\r\n]+\r?\ncontent-", "a whole form inside the form; send the photo alone in the part"),
)  # fmt: skip


def described(photo: bytes | bytearray | memoryview) -> str:
    """One or two sentences about a file that is none of the four families; quotes nothing of it."""
    head = bytes(memoryview(photo)[:_HEAD_BYTES])
    found = _binary(head) or _mangled(head) or _text(head)
    if found is None:
        return f"The file is not a photo that is read here, whatever its name says. {_WANTED}"
    return f"This is {found}. {_WANTED}"


def _binary(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return _of_brands(head)
    if head[4:8] in _MOVIE_BOXES:
        return _BRANDS[b"qt  "]
    if any(head[start::size][:3] == b"GGG" for start, size in zip((0, 4), _TS_PACKET_BYTES, strict=True)):
        return "an MPEG video"
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "a RIFF file that is no WebP picture")
    return next((name for magic, name in _BINARY if head.startswith(magic)), None)


def _of_brands(head: bytes) -> str:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))]
    known = next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)
    if known:
        return known
    if _STILL_BRANDS.intersection(brands):
        return "a HEIF file without a HEVC still picture in it"
    return "an MP4 video"


def _mangled(head: bytes) -> str | None:
    if head and not head.strip(b"\0"):
        return "a file of zeros; the photo was not read before it was sent"
    if head.startswith(_READ_AS_TEXT):
        return "a photo that was read as text, which destroys it; read it as bytes"
    if head[:1] == b"\xff" and len(head) < _SHORTEST_PHOTO_BYTES:
        return f"the first {len(head)} of a photo's bytes; send all of them"
    if head.startswith((b"\xff\xd8", b"\r\n\xff\xd8", b"\n\xff\xd8")) or b"\xff\xd8\xff" in head[:64]:
        return "a JPEG picture with something before or missing in its first bytes; send the file as it is"
    return None


def _text(head: bytes) -> str | None:
    text = _decoded(head)
    if text is None:
        return None
    if not text:
        return "white space"
    if text.startswith('"') and (bare := text.strip(_AROUND_A_VALUE)):
        return f"{_kind_of(bare)} (and in quotation marks: use the value, not its JSON)"
    return _kind_of(text)


def _kind_of(text: str) -> str:
    known = next((name for pattern, name in _TEXT if re.match(pattern, text, re.IGNORECASE | re.DOTALL)), None)
    return _base64(text.encode()) or known or "text"


def _decoded(head: bytes) -> str | None:
    """As text, if most of it is; its end may be cut in the middle of a character."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = head.decode(encoding, "ignore")
    is_text = all(character >= " " or character in "\t\r\n" for character in text)
    return text.strip() if is_text and len(text.encode(encoding)) >= 0.9 * len(head) else None


def _base64(text: bytes) -> str | None:
    if not _BASE64.match(text):
        return None
    start = re.sub(rb"\s", b"", text)[:64].translate(bytes.maketrans(b"-_", b"+/"))
    try:
        decoded = base64.b64decode(start[: len(start) // 4 * 4])
    except binascii.Error:
        return None
    kind = "HEIC" if decoded[4:8] == b"ftyp" else None
    kind = kind or next((name for magic, name in _PHOTO_MAGIC.items() if decoded.startswith(magic)), None)
    return f"a {kind} picture as base64 text; decode it: Buffer.from(text, 'base64')" if kind else None
