"""The OpenAPI document and its page."""

from importlib.metadata import version
from typing import Final

from litestar import MediaType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag

from entrypoints.http.reference_operations import CUSTOMERS, HEADERS, HEALTH, IMAGES, TRY_ONS
from entrypoints.http.reference_page import reference_router

API_KEY_SCHEME: Final = "x-api-key"
DESCRIPTION: Final = """\
Send a customer's photo, get the picture that any virtual try-on can use, and have it erased in time.

- JSON is camelCase. A field without a value is left out, never `null`. New fields may come: ignore what you don't know.
- Times are RFC 3339 in UTC; sizes are pixels or bytes. Boxes are in pixels of the *upright source*: the photo as it was
  uploaded, after its orientation was applied and before it was cut or scaled.
- Every failure has the same shape: branch on its `code`. Every answer carries `x-request-id`.
"""


def openapi_config() -> OpenAPIConfig:
    """Served at /docs, without a CDN."""
    return OpenAPIConfig(
        title="tryon-images",
        version=version("tryon-images"),
        description=DESCRIPTION,
        openapi_router=reference_router(),
        tags=[
            Tag(IMAGES, "Photos of customers, from upload to deletion."),
            Tag(TRY_ONS, "From a photo and a product to a picture of both."),
            Tag(CUSTOMERS, "The people in the photos, and their right to be forgotten."),
            Tag(HEALTH, "For orchestrators."),
        ],
        components=Components(
            headers=dict(HEADERS),
            security_schemes={
                API_KEY_SCHEME: SecurityScheme(
                    type="apiKey",
                    name="x-api-key",
                    security_scheme_in="header",
                    description="`gk_…`, one per merchant.",
                )
            },
        ),
        render_plugins=[JsonRenderPlugin(media_type=MediaType.JSON)],
    )
