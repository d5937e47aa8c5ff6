"""The embedded try-on: an honest 2-D preview that lays a garment's photo over its wearer's photo."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from adapters.preview_engine.background_removal import remove_background
from adapters.preview_engine.bare_skin import take_off
from adapters.preview_engine.complexion import kept_in_front, read_complexion
from adapters.preview_engine.compositing import Layer, Scene, composite, coverage, replaced
from adapters.preview_engine.fitting import fit_sleeve, fit_torso, sleeve_end
from adapters.preview_engine.garment_shape import GarmentShape, read_shape
from adapters.preview_engine.light import folds, tint
from adapters.preview_engine.mesh_warp import source_map
from adapters.preview_engine.neckline import without_inside
from adapters.preview_engine.pictures import Mask, RenderedTryOn, Rgb, blurred, decode, disk, encode, extended, shrunk
from adapters.preview_engine.pose import PoseReader
from adapters.preview_engine.wearer import Wearer, read_wearer
from adapters.preview_engine.worn_garment import cut_from_model, is_worn
from domain.errors import GarmentNotSeparable

WORKING_EDGE = 1000  # pixels; masks and meshes are smooth, only the colors need the full size
LOOSE_REACH = 0.07  # shoulder widths that a garment may stand off the body


class PreviewEngine:
    """One per worker process; not for use by several threads at once.

    model_directory: what `adapters.vision.models` installs.
    """

    def __init__(self, model_directory: Path) -> None:
        cv2.setNumThreads(1)
        self._poses = PoseReader(model_directory)

    def close(self) -> None:
        self._poses.close()

    def render(self, person_jpeg: bytes, garment_jpeg: bytes) -> RenderedTryOn:
        """The person wearing the garment, in the person photo's size.

        Args: both are files as the service keeps them: baseline JPEG, sRGB, upright, longest edge <= 2000 px.
        Raises: PersonNotFound, PersonNotFacing, TorsoNotVisible, GarmentNotSeparable, GarmentNotSupported.
        """
        photo = decode(person_jpeg)
        person = shrunk(photo, WORKING_EDGE)
        wearer = read_wearer(self._poses.read(person))
        garment = shrunk(decode(garment_jpeg), WORKING_EDGE)
        mask, shape = self._cut_out(garment)
        complexion = read_complexion(person, wearer)
        ends = (sleeve_end(shape, wearer, 0), sleeve_end(shape, wearer, 1))
        layers = _layers(shape, wearer, ends)
        margin = cv2.dilate((wearer.body > 0.5).astype(np.float32), disk(LOOSE_REACH * wearer.shoulder_width))
        scene = Scene(
            allowed=blurred(np.asarray(margin, dtype=np.float32), 1.2),
            front=kept_in_front(wearer, complexion, ends),
            folds=folds(person, wearer, complexion),
            tint=tint(person),
            unit=wearer.shoulder_width,
        )
        bared = take_off(person, wearer, complexion, coverage(layers, scene))
        return encode(composite(replaced(photo, person, bared), extended(garment, mask), layers, scene))

    def _cut_out(self, garment: Rgb) -> tuple[Mask, GarmentShape]:
        pose = self._poses.read(garment)
        try:
            silhouette = remove_background(garment)
        except GarmentNotSeparable:
            if pose is None or not is_worn(pose, None):
                raise
            return cut_from_model(garment, pose)
        if pose is not None and is_worn(pose, silhouette):
            return cut_from_model(garment, pose)
        shape = read_shape(silhouette)
        return silhouette, replace(shape, torso=without_inside(garment, shape))


def _layers(shape: GarmentShape, wearer: Wearer, ends: tuple[float, float]) -> list[Layer]:
    """The garment's parts, the lowest first: an arm that hangs down comes out from under the torso's side."""
    height, width = wearer.body.shape
    torso = fit_torso(shape, wearer)
    behind: list[Layer] = []
    before: list[Layer] = []
    for side, sleeve in enumerate(shape.sleeves):
        if sleeve is not None:
            layer = Layer(source_map(fit_sleeve(sleeve, shape, wearer, side, torso), height, width), sleeve.mask)
            on_forearm = ends[side] > wearer.arms[side].upper_length / wearer.arms[side].length
            (before if on_forearm and wearer.crosses_torso(side) else behind).append(layer)
    return [*behind, Layer(source_map(torso, height, width), shape.torso), *before]
