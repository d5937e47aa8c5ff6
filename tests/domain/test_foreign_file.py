"""Each kind of file that is no photo is called by its name, and nothing of it is quoted."""

import base64

import pytest

from domain.foreign_file import described

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(range(200))
NAMED = {
    b"[object Object]": 'form.append("file", file)',
    b"[object File]": 'form.append("file", file)',
    b"undefined": 'form.append("file", file)',
    b"file:///data/user/0/cache/photo.jpg": "React Native",
    b"content://media/external/images/7": "React Native",
    b"ph://ED7AC36B-A150-4C38-BB8C-B6D696F4F2ED/L0/001": "React Native",
    b"blob:https://shop.example/4f0c": "blob: URL",
    b"https://cdn.example/photo.jpg": "a URL",
    b"//cdn.shopify.com/photo.jpg": "a URL",
    b"data:image/jpeg;base64,/9j/4AAQ": "a data URL",
    base64.b64encode(JPEG): "base64 text",
    base64.encodebytes(JPEG): "base64 text",
    base64.urlsafe_b64encode(b"\x89PNG\r\n\x1a\n" + bytes(60)): "PNG picture as base64",
    JPEG.hex().encode(): "hexadecimal",
    repr(JPEG).encode(): "Python bytes",
    b"<_io.BufferedReader name='photo.jpg'>": "Python object",
    b"<FileStorage: 'a.jpg' ('image/jpeg')>": "Python object",
    b"C:\\Users\\Ann\\photo.jpg": "a path",
    b"/home/ann/photo.jpg": "a path",
    b"./photo.jpg": "a path",
    b"@photo.jpg": "a file name",
    b"<!DOCTYPE html><html><body>502 Bad Gateway": "an HTML page",
    b"\n  <html>": "an HTML page",
    b'{"error": "not found"}': "JSON",
    b'{"type":"Buffer","data":[255,216,255]}': "Node Buffer",
    b"[255,216,255,224]": "array of numbers",
    b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>": "XML",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>": "SVG",
    b"<?xml version='1.0'?>\n<!-- made by -->\n<svg width='1'/>": "SVG",
    b"--edge\r\nContent-Disposition: form-data": "whole form",
    b"just some words": "text",
    "ein paar Wörter über Straßen".encode("utf-16"): "text",
    b" \r\n ": "white space",
    b"GIF89a" + bytes(20): "a GIF picture",
    b"%PDF-1.7\n": "a PDF",
    b"BM" + bytes(50): "a BMP",
    b"II*\0" + bytes(50): "TIFF",
    b"PK\x03\x04" + bytes(20): "ZIP",
    b"\x1f\x8b\x08" + bytes(20): "gzip",
    b"\xff\x0a" + bytes(20): "JPEG XL",
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf": "an AVIF picture",
    b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf": "an AVIF picture",
    b"\0\0\0\x18ftypmp42\0\0\0\0isommp42": "an MP4 video",
    b"\0\0\0\x14ftypqt  \0\0\0\0qt  ": "QuickTime",
    b"\x1aE\xdf\xa3" + bytes(20): "WebM",
    b"RIFF\0\0\0\0AVI LIST": "an AVI video",
    JPEG.decode("utf-8", "replace").encode(): "read as text",
    JPEG.decode("latin-1").encode(): "read as text",
    bytes(5000): "a file of zeros",
    b"\n" + JPEG: "something before",
    b"255,216,255,224,0,16,74,70": "array of numbers",
    b"[255, 216, 255, 224]": "array of numbers",
    b'"' + base64.b64encode(JPEG) + b'"': "base64 text; decode it",
    b'"data:image/jpeg;base64,/9j/4AAQ"': "a data URL",
    b"photos/2026/me.jpg": "a file name",
    b"/tmp/phpYzdqkD": "a path",
    b"@/home/ann/me.jpg": "a path",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n": "Git LFS",
    b"\x89PNG\n\x1a\n" + bytes(50): "read as text",
    b"\xff": "the first 1 of a photo's bytes",
    b"\xff\xd8": "the first 2 of a photo's bytes",
    b"\0\0\x01\0moov" + bytes(50): "QuickTime",
    b"\0\0\0\x08wide\0\1\2\3mdat": "QuickTime",
    b"\0\0\x01\0\x01\0\x20\x20": "an icon",
    (b"G\x40\0\x10" + bytes(184)) * 4: "an MPEG video",
    (bytes(4) + b"G\x40\0\x10" + bytes(184)) * 4: "an MPEG video",
    b"0&\xb2u\x8ef\xcf\x11": "Windows Media",
    b"%!PS-Adobe-3.0 EPSF-3.0": "PostScript",
    b"{\\rtf1\\ansi hi}": "RTF",
    b"Rar!\x1a\x07\1\0": "RAR",
    b"\xfd7zXZ\0" + JPEG: "xz-compressed",
}


@pytest.mark.parametrize("photo", NAMED, ids=[str(number) for number in range(len(NAMED))])
def test_what_came_is_named(photo: bytes) -> None:
    said = described(photo)
    assert NAMED[photo] in said
    assert said.endswith("Send a JPEG, PNG, WebP or HEIC photo.")


@pytest.mark.parametrize("photo", [b'" ' * 1023 + b"x", b'"\t' * 5000, b'"' * 2048, b'"https://shop.example/1.jpg"'])
def test_any_number_of_quotation_marks_is_named_at_once(photo: bytes) -> None:
    assert described(photo).startswith(("This is text", "This is a URL"))


@pytest.mark.parametrize("photo", [b"", b"\x00\x01\x02\x03" * 50, bytes(range(128, 256)) * 10])
def test_what_nobody_knows_is_not_guessed(photo: bytes) -> None:
    assert "not a photo that is read here" in described(photo) or "white space" in described(photo)


def test_nothing_of_a_file_is_repeated() -> None:
    for secret in (b"https://cdn.example/ann-smith.jpg", b"/home/ann-smith/me.jpg", b'{"name": "ann-smith"}'):
        assert "ann" not in described(secret)
