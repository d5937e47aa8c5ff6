"""Use cases and limits that the routes call, made once with the application."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Self

from application.authenticate import Authenticate, PagePass, UploadTickets
from application.check_readiness import CheckReadiness
from application.delete_images import DeleteImage
from application.erase_customer import EraseCustomer, ReadErasure
from application.fair_shares import BodyMemory
from application.generations import AwaitGeneration, ReadGeneration
from application.products import DeleteProduct, ReadProducts, RegisterProduct
from application.read_image import OpenPreview, ReadImage
from application.start_try_on import StartTryOn
from application.upload_photo import CheckPhoto, UploadPhoto
from domain.customer import Pseudonyms
from entrypoints.http.admission import WrongKeys
from entrypoints.http.edge import Pace
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from entrypoints.wiring.surroundings import Draining


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The one dependency of every route: for two of them the framework would start a task each, on every request."""

    settings: Settings
    body_memory: BodyMemory
    draining: Draining
    authenticate: Authenticate
    check_photo: CheckPhoto
    upload_photo: UploadPhoto
    read_image: ReadImage
    delete_image: DeleteImage
    erase_customer: EraseCustomer
    read_erasure: ReadErasure
    open_preview: OpenPreview
    start_try_on: StartTryOn
    read_generation: ReadGeneration
    await_generation: AwaitGeneration
    wrong_keys: WrongKeys
    small_pieces: Pace
    register_product: RegisterProduct
    read_products: ReadProducts
    delete_product: DeleteProduct
    upload_tickets: UploadTickets
    check_readiness: CheckReadiness
    metrics: Callable[[], bytes]
    page_pass: PagePass | None
    pseudonyms: Pseudonyms

    @classmethod
    def of(cls, container: Container) -> Self:
        """Each field out of the provider of its name, but for what there is one of in each server process."""
        own: dict[str, Any] = {
            "draining": Draining(),
            "await_generation": AwaitGeneration(container.read_generation()),
            "wrong_keys": WrongKeys(),
            "small_pieces": Pace(),
            "metrics": container.telemetry().metrics,
        }
        names = {field.name for field in fields(cls)} - own.keys()
        return cls(**own, **{name: getattr(container, name)() for name in names})
