"""Why a try-on cannot be started, or ends without a picture. The latter are seen as a generation's `errorCode` only."""

from domain.errors import DomainError


class CustomerImageRequired(DomainError):
    """A try-on without a person."""

    code = "CUSTOMER_IMAGE_REQUIRED"

    def __init__(self) -> None:
        super().__init__("The photo of the person is missing. Send it as person.image.source.")


class ProductImagesRequired(DomainError):
    """A try-on without anything to wear."""

    code = "PRODUCT_IMAGES_REQUIRED"

    def __init__(self) -> None:
        super().__init__(
            "The product has no images. Send them as products.0.images, or the externalId of a product sent before."
        )


class MultipartFileNotFound(DomainError):
    """A `fileKey` that names no part of the form."""

    code = "MULTIPART_FILE_NOT_FOUND"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path}: there is no file part of that name. Send the request as multipart/form-data with it."
        )


class CustomerImageFetchFailed(DomainError):
    """The URL of the person's photo led nowhere. Says nothing of what was found there."""

    code = "CUSTOMER_IMAGE_FETCH_FAILED"

    def __init__(self, path: str) -> None:
        super().__init__(_not_fetched(path))


class ProductImageFetchFailed(DomainError):
    """The URL of a product image led nowhere. Says nothing of what was found there."""

    code = "PRODUCT_IMAGE_FETCH_FAILED"

    def __init__(self, path: str) -> None:
        super().__init__(_not_fetched(path))


def _not_fetched(path: str) -> str:
    return (
        f"{path}: the image could not be fetched. The URL has to be public, start with https://, and answer within"
        " seconds with a file no larger than an upload may be."
    )


class GenerationNotFound(DomainError):
    """Unknown, another account's, or long over."""

    code = "GENERATION_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such generation.")


class ProductNotFound(DomainError):
    """Never seen, not used for too long, another account's, or its pictures were deleted."""

    code = "PRODUCT_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("There is no such product any more. Send it again with its images.")


class ContentFiltered(DomainError):
    """The engine's safety filter kept the result back; trying again does not help."""

    code = "CONTENT_FILTERED"

    def __init__(self) -> None:
        super().__init__("The try-on was kept back by the engine's safety filter. Use another photo.")


class EngineRefused(DomainError):
    """The engine does not accept these photos, or answers with something that is no picture."""

    code = "ENGINE_REFUSED"

    def __init__(self) -> None:
        super().__init__("The try-on engine did not accept the photos. Use other ones.")


class EngineMisconfigured(DomainError):
    """Wrong model, project, region or rights: only the operator can help."""

    code = "ENGINE_MISCONFIGURED"

    def __init__(self) -> None:
        super().__init__("The try-on engine is not set up correctly. Please tell the service's operator.")


class EngineUnavailable(DomainError):
    """Quota, outage or time-out: another try can help. Ends a generation only when all its tries are used up."""

    code = "ENGINE_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("The try-on engine is out of order or overloaded. Try again later.")


class GenerationFailed(DomainError):
    """A bug of ours, or a machine that died at every try."""

    code = "GENERATION_FAILED"

    def __init__(self) -> None:
        super().__init__("The try-on failed for an internal reason. Try again later.")
