"""The route of erasure."""

from litestar import Response, delete
from litestar.di import NamedDependency

from domain.customer import MAX_EXTERNAL_ID_CHARS, Customer, is_external_id
from domain.errors import FieldProblem, ValidationFailed
from entrypoints.http.api_key import RequestWithKey
from entrypoints.http.raw_path import last_segment
from entrypoints.http.service import Service

RETRY_AFTER_SECONDS = 60


@delete(
    "/customers/{customerId:path}",
    operation_id="eraseCustomer",
    status_code=204,
)
async def erase_customer(request: RequestWithKey, service: NamedDependency[Service]) -> Response[None]:
    """Erase one end user's images, results and records; idempotent. 202 while storage is down."""
    external_id = last_segment(request, "customerId")
    if not is_external_id(external_id):
        message = f"must have 1 to {MAX_EXTERNAL_ID_CHARS} characters, none of them NUL"
        raise ValidationFailed((FieldProblem("customerId", message),))
    outcome = await service.erase_customer.execute(Customer(request.user.account_id, external_id))
    if outcome.bytes_left:
        return Response(None, status_code=202, headers={"retry-after": str(RETRY_AFTER_SECONDS)})
    return Response(None, status_code=204)
