"""The route behind signed preview links, for storage that cannot serve its objects itself."""

from typing import Annotated

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter

from domain.account import AccountId
from domain.errors import ImageNotFound
from domain.image import ImageId
from entrypoints.http.service import Service

PRIVATE = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}
"""A cache that kept the picture would keep it longer than we promised."""
MAX_EXPIRES = 2**40  # some 35,000 years: a larger number is no date


@get(
    "/tryon/v1/previews/{imageId:str}",
    operation_id="getPreview",
    media_type="image/jpeg",
)
async def read_preview(
    image_id: Annotated[str, PathParameter(name="imageId")],
    service: NamedDependency[Service],
    account: Annotated[str | None, QueryParameter()] = None,
    expires: Annotated[str | None, QueryParameter()] = None,
    signature: Annotated[str | None, QueryParameter()] = None,
) -> Response[bytes]:
    """The picture itself, by the link that came with its `imageId`; needs no API key."""
    if not (account and signature and expires and expires.isascii() and expires.isdigit()):
        raise ImageNotFound
    if len(expires) > len(str(MAX_EXPIRES)) or int(expires) > MAX_EXPIRES:  # Python reads no number of 4,300 digits
        raise ImageNotFound
    jpeg = await service.open_preview.execute(ImageId(image_id), AccountId(account), int(expires), signature)
    return Response(jpeg, media_type="image/jpeg", headers=PRIVATE)
