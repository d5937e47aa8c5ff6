"""Everything that can go wrong for a caller, each with a code that clients branch on and that never changes."""

from typing import ClassVar


class DomainError(Exception):
    """A failure that the caller can understand; its text is shown to the caller and holds nothing private."""

    code: ClassVar[str]


class InvalidImage(DomainError):
    """Empty, truncated, corrupt, or not decodable."""

    code = "INVALID_IMAGE"

    def __init__(
        self, message: str = "The photo is damaged or incomplete and cannot be read. Send the original file."
    ) -> None:
        super().__init__(message)


class UnsupportedImageFormat(DomainError):
    """Not one of the four families, however it is named."""

    code = "UNSUPPORTED_IMAGE_FORMAT"

    def __init__(self) -> None:
        super().__init__("The file is not a JPEG, PNG, WebP or HEIC photo. Convert it to one of these formats.")


class ImageTooLarge(DomainError):
    """More pixels than allowed, decided from the header."""

    code = "IMAGE_TOO_LARGE"

    def __init__(self, pixels: int, limit: int) -> None:
        super().__init__(f"The photo has {pixels:,} pixels; the limit is {limit:,}. Send a smaller version.")
        self.pixels = pixels
        self.limit = limit


class Overloaded(DomainError):
    """The fault is ours and passes: a full queue, storage or database down, a worker out of memory."""

    code = "OVERLOADED"

    def __init__(self, message: str = "The service is busy. Try again shortly.", retry_after_seconds: int = 5) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
