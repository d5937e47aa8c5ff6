"""The routes of erasures: one end user's images, results and records, and how far that is."""

from typing import Annotated, Any, Final

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter

from application.erase_customer import ErasureOutcome
from domain.errors import FieldProblem, ValidationFailed
from domain.image import ErasureId
from entrypoints.http.admission import RequestWithKey
from entrypoints.http.request_parts import id_at_the_end, json_object_of
from entrypoints.http.schemas import ErasureBody
from entrypoints.http.service import Service
from entrypoints.http.upload_form import customer_id_problem
from entrypoints.wiring.settings import API_PATH

RETRY_AFTER_SECONDS: Final = 60
CUSTOMERS: Final = f"{API_PATH}/customers/"
ERASE: Final = "/customers/erase"
"""The path of the one call, and of the other for somebody whose id is `erase`. The framework folds ids of slashes."""


@post(ERASE, operation_id="erase", status_code=200)
async def erase(request: RequestWithKey, service: NamedDependency[Service]) -> Response[ErasureBody]:
    """Erase one end user's images, results and records; says how many images there were. 202 while storage is down."""
    sent = (await json_object_of(request, service)).get("customerId")
    outcome = await _erase(request, service, sent)
    return Response(ErasureBody.of(outcome), status_code=202 if outcome.bytes_left else 200, headers=_headers(outcome))


@delete([ERASE, "/customers", "/customers/{customerId:path}"], operation_id="eraseCustomer", status_code=202)
async def erase_customer(request: RequestWithKey, service: NamedDependency[Service]) -> Response[ErasureBody | None]:
    """The same for clients of the origin, by the id in the path; without a body when all is gone."""
    outcome = await _erase(request, service, id_at_the_end(request, "customerId", CUSTOMERS))
    if outcome.bytes_left:
        return Response(ErasureBody.of(outcome), status_code=202, headers=_headers(outcome))
    return Response(None, status_code=204, headers=_headers(outcome))


@get("/erasures/{erasureId:str}", operation_id="getErasure")
async def read_erasure(
    request: RequestWithKey,
    erasure_id: Annotated[str, PathParameter(name="erasureId")],
    service: NamedDependency[Service],
) -> ErasureBody:
    """How far an erasure is."""
    return ErasureBody.of_record(await service.read_erasure.execute(ErasureId(erasure_id), request.user.account_id))


async def _erase(request: RequestWithKey, service: Service, external_id: Any) -> ErasureOutcome:
    problem = "is missing; send the id of the customer" if external_id is None else customer_id_problem(external_id)
    if problem:
        raise ValidationFailed((FieldProblem("customerId", problem),))
    customer = service.pseudonyms.customer(request.user.account_id, external_id)
    return await service.erase_customer.execute(customer)


def _headers(outcome: ErasureOutcome) -> dict[str, str]:
    headers = {"x-erasure-id": outcome.erasure_id, "x-images-erased": str(outcome.images)}
    return headers | ({"retry-after": str(RETRY_AFTER_SECONDS)} if outcome.bytes_left else {})
