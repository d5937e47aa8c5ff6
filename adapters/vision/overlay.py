"""Draws what was seen in a photo and which window was chosen, for people to judge with their own eyes."""

from typing import Final

import cv2
import numpy as np

from adapters.vision.look import pixels_of
from adapters.vision.networks import Pixels
from application.prepare_photo import ExplainedPhoto
from domain.geometry import Box
from domain.image import StoredPhoto
from domain.person import SeenPerson

_WINDOW: Final = (60, 220, 60)
_PERSON: Final = (235, 60, 50)
_OTHER: Final = (250, 160, 40)
_HEAD: Final = (250, 230, 60)
_FACE: Final = (60, 210, 240)
_CONTENT: Final = (170, 170, 170)
_LANDMARK: Final = (240, 80, 240)
"""RGB."""

_OUTSIDE_BRIGHTNESS: Final = 0.45
_JPEG_QUALITY: Final = 88


def draw_overlay(explained: ExplainedPhoto) -> bytes:
    """A JPEG of the source: what is cut away darkened, the window green, the main person red with head and face.

    Other people are orange, the photo inside its frame is gray. A line at the top says how the person is framed and
    which warnings there are.
    """
    view, facts = explained.view, explained.prepared.facts
    scale = view.size.width / facts.source_size.width
    canvas = _darkened_outside(pixels_of(view), facts.crop, scale)
    line = max(2, round(view.size.longest_edge / 400))
    main = explained.seen.main_person
    for person in explained.seen.people:
        _draw_person(canvas, person, scale, line, is_main=person is main)
    if facts.content:
        _draw_box(canvas, facts.content, scale, _CONTENT, line)
    if facts.crop:
        _draw_box(canvas, facts.crop, scale, _WINDOW, 2 * line)
    _write(canvas, _summary(facts), view.size.longest_edge / 1600)
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return jpeg.tobytes()


def _darkened_outside(pixels: Pixels, window: Box | None, scale: float) -> Pixels:
    if window is None:
        return pixels.copy()
    canvas = (pixels * _OUTSIDE_BRIGHTNESS).astype(np.uint8)
    left, top, right, bottom = _edges(window, scale)
    canvas[top:bottom, left:right] = pixels[top:bottom, left:right]
    return canvas


def _draw_person(canvas: Pixels, person: SeenPerson, scale: float, line: int, *, is_main: bool) -> None:
    _draw_box(canvas, person.box, scale, _PERSON if is_main else _OTHER, line)
    if person.head:
        _draw_box(canvas, person.head, scale, _HEAD, line)
    if person.face:
        _draw_box(canvas, person.face, scale, _FACE, line)
    for mark in person.visible_landmarks().values():
        cv2.circle(canvas, (round(mark.x * scale), round(mark.y * scale)), 2 * line, _LANDMARK, -1, cv2.LINE_AA)


def _draw_box(canvas: Pixels, box: Box, scale: float, color: tuple[int, int, int], line: int) -> None:
    left, top, right, bottom = _edges(box, scale)
    cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), color, line)


def _edges(box: Box, scale: float) -> tuple[int, int, int, int]:
    return round(box.x * scale), round(box.y * scale), round(box.right * scale), round(box.bottom * scale)


def _summary(facts: StoredPhoto) -> str:
    seen = f"{facts.person.count} seen, {facts.person.framing}" if facts.person else "nobody seen"
    return " | ".join([seen, *(warning.code for warning in facts.warnings)])


def _write(canvas: Pixels, text: str, scale: float) -> None:
    size = max(0.4, 0.9 * scale)
    (_, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 2)
    at = (height // 2, round(height * 1.5))
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), 5, cv2.LINE_AA)
    cv2.putText(canvas, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 2, cv2.LINE_AA)
