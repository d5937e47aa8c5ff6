"""Bodies of success as the API reference shows them, made from the very structs that are sent."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from litestar.openapi.spec import Example

from domain.errors import EngineRefused
from domain.person import Framing
from domain.photo import SourceFormat, WarningCode
from entrypoints.http.schemas import (
    BoxBody,
    GenerationBody,
    ImageBody,
    LivenessBody,
    PersonBody,
    ReadinessBody,
    SourceBody,
    StartedTryOnBody,
    WarningBody,
)

IMAGE_ID: Final = "img_4kTq9ZcX1vJw7sN2bRfLgA"
GENERATION_ID: Final = "gen_X2mWq7LrT9aVb3NcYd5PfGhJ"
RESULT_ID: Final = "img_R8sEuLt4kTq9ZcX1vJw7sN2b"
ACCOUNT_ID: Final = "acc_Vb7mQ2"
SIGNATURE: Final = "dGhpcyBpcyBub3QgYSByZWFsIHNpZ25hdHVyZQ"
_UPLOADED_AT: Final = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
_LINK_EXPIRES_AT: Final = _UPLOADED_AT + timedelta(minutes=15)
EXPIRES: Final = str(int(_LINK_EXPIRES_AT.timestamp()))


def _image(**parts: object) -> ImageBody:
    whole: dict[str, object] = {
        "image_id": IMAGE_ID,
        "image_url": f"https://photos.example.com/tryon/v1/previews/{IMAGE_ID}"
        f"?account={ACCOUNT_ID}&expires={EXPIRES}&signature={SIGNATURE}",
        "image_url_expires_at": _LINK_EXPIRES_AT,
        "created_at": _UPLOADED_AT,
        "expires_at": _UPLOADED_AT + timedelta(days=7),
        "keep_for_days": 7,
        "width": 1600,
        "height": 2000,
        "content_type": "image/jpeg",
        "size_bytes": 412_345,
        "source": SourceBody(format=SourceFormat.HEIC, width=3024, height=4032),
        "warnings": [],
    }
    return ImageBody(**(whole | parts))  # type: ignore[arg-type]  # checked by the snapshot of the document


def _example(summary: str, body: msgspec.Struct) -> Example:
    return Example(summary=summary, value=msgspec.to_builtins(body))


IMAGES: Final = {
    "person": _example(
        "A person, cut out 4:5",
        _image(
            crop=BoxBody(x=0, y=126, width=3024, height=3780),
            person=PersonBody(
                count=1,
                box=BoxBody(x=610, y=300, width=1700, height=3500),
                face=BoxBody(x=1300, y=380, width=420, height=420),
                framing=Framing.FULL_BODY,
            ),
        ),
    ),
    "nobody": _example(
        "Nobody was found",
        _image(
            width=480,
            height=600,
            size_bytes=20_480,
            source=SourceBody(format=SourceFormat.JPEG, width=600, height=600),
            crop=BoxBody(x=60, y=0, width=480, height=600),
            warnings=[
                WarningBody(
                    code=WarningCode.NO_PERSON_DETECTED,
                    message="We could not find a person in this photo. "
                    "Use a photo that shows you clearly, from head to knees or more.",
                )
            ],
        ),
    ),
    "uncropped": _example("crop=false", _image(width=1500, height=2000)),
}
STARTED: Final = {
    "started": _example(
        "Accepted",
        StartedTryOnBody(generation_id=GENERATION_ID, status="PENDING", product_external_id="shirt-1"),
    )
}


def _generation(status: str, **parts: object) -> GenerationBody:
    whole: dict[str, object] = {
        "generation_id": GENERATION_ID,
        "status": status,
        "engine": "http",
        "created_at": _UPLOADED_AT,
        "updated_at": _UPLOADED_AT + timedelta(seconds=3),
    }
    return GenerationBody(**(whole | parts))  # type: ignore[arg-type]  # checked by the snapshot of the document


GENERATIONS: Final = {
    "completed": _example(
        "Done",
        _generation(
            "COMPLETED",
            result_image_id=RESULT_ID,
            result_image_url=f"https://photos.example.com/tryon/v1/previews/{RESULT_ID}"
            f"?account={ACCOUNT_ID}&expires={EXPIRES}&signature={SIGNATURE}",
            result_image_url_expires_at=_UPLOADED_AT + timedelta(days=1),
        ),
    ),
    "failed": _example(
        "Refused by the engine",
        _generation("FAILED", error_code=EngineRefused.code, error_message=str(EngineRefused())),
    ),
}
LIVE: Final = {"live": _example("The event loop turns", LivenessBody(status="live"))}
READY: Final = {"ready": _example("All is well", ReadinessBody(status="ready"))}
NOT_READY: Final = {
    "storage": _example("Storage does not answer", ReadinessBody(status="not ready", failing=["storage"]))
}
