"""The OpenAPI document and its page."""

from importlib.metadata import version

from litestar.openapi import OpenAPIConfig


def openapi_config() -> OpenAPIConfig:
    """Served at /docs, without a CDN."""
    return OpenAPIConfig(title="tryon-images", version=version("tryon-images"), path="/docs")
