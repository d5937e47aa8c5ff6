"""What a try-on preview refuses, each with a code that clients branch on and a text that says what to do instead."""

from domain.errors import DomainError


class PersonNotFound(DomainError):
    """Nobody, or nobody large enough to dress, is in the person photo."""

    code = "PERSON_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("No person large enough to dress was found in the photo. Use a photo from the hips up.")


class PersonNotFacing(DomainError):
    """The wearer is seen from the back or from the side."""

    code = "PERSON_NOT_FACING"

    def __init__(self) -> None:
        super().__init__("The person does not face the camera. Use a photo taken from the front.")


class TorsoNotVisible(DomainError):
    """The wearer's upper body is cut off, hidden, bent, or lying."""

    code = "TORSO_NOT_VISIBLE"

    def __init__(self) -> None:
        super().__init__(
            "The person's upper body is cut off or covered. Use an upright photo that shows shoulders and chest freely."
        )


class GarmentNotSeparable(DomainError):
    """The garment cannot be told from what is around it."""

    code = "GARMENT_NOT_SEPARABLE"

    def __init__(self) -> None:
        super().__init__(
            "The garment cannot be told from its background."
            " Use a product photo on a plain background of another color."
        )


class GarmentNotSupported(DomainError):
    """Something is shown clearly, but it is not one garment for the upper body."""

    code = "GARMENT_NOT_SUPPORTED"

    def __init__(self) -> None:
        super().__init__(
            "The preview dresses the upper body only: send one shirt, top, sweater or jacket, laid out upright from"
            " the front. Trousers, skirts, full-length garments, shoes and accessories are not supported."
        )
