"""What the routes call, made once with the application."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from application.authenticate import Authenticate, PagePass
from application.body_memory import BodyMemory
from application.check_readiness import CheckReadiness
from application.delete_image import DeleteImage
from application.erase_customer import EraseCustomer
from application.erasure_audit import ReadErasure
from application.products import DeleteProduct, ReadProducts, RegisterProduct
from application.read_generation import AwaitGeneration, ReadGeneration
from application.read_image import OpenPreview, ReadImage
from application.start_try_on import StartTryOn
from application.upload_photo import CheckPhoto, UploadPhoto
from application.upload_tickets import UploadTickets
from domain.pseudonyms import Pseudonyms
from entrypoints.http.waiting import Waiting
from entrypoints.http.wrong_keys import WrongKeys
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
    waiting: Waiting
    wrong_keys: WrongKeys
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
        settings = container.settings()
        return cls(
            settings=settings,
            body_memory=container.body_memory(),
            draining=Draining(),
            authenticate=container.authenticate(),
            check_photo=container.check_photo(),
            upload_photo=container.upload_photo(),
            read_image=container.read_image(),
            delete_image=container.delete_image(),
            erase_customer=container.erase_customer(),
            read_erasure=container.read_erasure(),
            open_preview=container.open_preview(),
            start_try_on=container.start_try_on(),
            read_generation=container.read_generation(),
            await_generation=AwaitGeneration(container.read_generation()),
            waiting=Waiting(),
            wrong_keys=WrongKeys(),
            register_product=container.register_product(),
            read_products=container.read_products(),
            delete_product=container.delete_product(),
            upload_tickets=container.upload_tickets(),
            check_readiness=container.check_readiness(),
            metrics=container.telemetry().metrics,
            page_pass=container.page_pass(),
            pseudonyms=container.pseudonyms(),
        )
