"""Read an upload's multipart form from the request stream: bounded while it is read, every malformed field named."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from application.upload_photo import UploadCommand
from domain.account import Account
from domain.customer import MAX_EXTERNAL_ID_CHARS, Customer, is_external_id
from domain.errors import FieldProblem, FileRequired, FileTooLarge, ValidationFailed
from domain.photo import PhotoWarning, WarningCode
from domain.retention import RetentionPolicy

FILE = "file"
MAX_FIELDS = 64
MAX_FIELD_BYTES = 8 * 1024
"""256 characters of four bytes each, eight times over."""
FRAMING_BYTES = 256 * 1024
"""What a whole request may be larger than its file: boundaries, part headers and the other fields."""
ALIASES = {"customerId": "externalUserId", "retentionDays": "keepForDays"}
KNOWN = frozenset({"crop", "externalUserId", "keepForDays", *ALIASES})
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
DAYS = {str(days): days for days in RetentionPolicy.ALLOWED_DAYS}

T = TypeVar("T")


@dataclass(slots=True)
class UploadForm:
    """The parts of one upload, still as they were sent."""

    photo: bytearray | None = None
    fields: dict[str, list[bytes]] = field(default_factory=dict)

    def to_command(self, account: Account, idempotency_key: str | None) -> UploadCommand:
        """Raises: ValidationFailed that names every malformed field; FileRequired."""
        fields = _Fields(self.fields)
        customer_id = fields.get("externalUserId", _external_id)
        days = fields.get("keepForDays", _days)
        crop = fields.get("crop", _boolean)
        if idempotency_key is not None and not 1 <= len(idempotency_key) <= 255:
            fields.problems.append(FieldProblem("Idempotency-Key", "must have 1 to 255 characters"))
        if fields.problems:
            raise ValidationFailed(tuple(fields.problems))
        if self.photo is None:
            raise FileRequired
        return UploadCommand(
            account=account,
            photo=self.photo,
            crop=crop is not False,
            customer=Customer(account.account_id, customer_id) if customer_id is not None else None,
            retention=RetentionPolicy(days) if days is not None else None,
            idempotency_key=idempotency_key,
            warnings=tuple(fields.warnings),
        )


class _Fields:
    """Looks fields up by their new names, takes note of what is wrong and of what is outdated."""

    def __init__(self, sent: dict[str, list[bytes]]) -> None:
        self._sent = sent
        self.problems: list[FieldProblem] = []
        self.warnings: list[PhotoWarning] = []

    def get(self, name: str, parse: Callable[[str], T]) -> T | None:
        alias = next((old for old, new in ALIASES.items() if new == name), None)
        current = self._value(name, parse)
        outdated = self._value(alias, parse) if alias else None
        if alias and outdated is not None:
            self.warnings.append(
                PhotoWarning(WarningCode.DEPRECATED_FIELD, f'The field "{alias}" is deprecated. Send "{name}" instead.')
            )
            if current is not None and current != outdated:
                self.problems.append(FieldProblem(alias, f'differs from "{name}", of which it is a deprecated alias'))
        return outdated if current is None else current

    def _value(self, name: str, parse: Callable[[str], T]) -> T | None:
        values = [value for value in self._sent.get(name, []) if value]
        if not values:
            return None
        try:
            parsed = [parse(value.decode()) for value in values]
        except UnicodeDecodeError:
            self.problems.append(FieldProblem(name, "is not valid UTF-8"))
        except ValueError as error:
            self.problems.append(FieldProblem(name, str(error)))
        else:
            if any(other != parsed[0] for other in parsed):
                self.problems.append(FieldProblem(name, "was sent more than once with different values"))
            return parsed[0]
        return None


def _external_id(text: str) -> str:
    if not is_external_id(text):
        raise ValueError(f"must have 1 to {MAX_EXTERNAL_ID_CHARS} characters, none of them NUL")
    return text


def _days(text: str) -> int:
    if text not in DAYS:
        raise ValueError("must be 1, 3 or 7")
    return DAYS[text]


def _boolean(text: str) -> bool:
    if text.lower() not in BOOLEANS:
        raise ValueError("must be true or false")
    return BOOLEANS[text.lower()]


async def read_upload_form(content_type: str, stream: AsyncIterator[bytes], max_file_bytes: int) -> UploadForm:
    """Read the whole form, holding at most one file of `max_file_bytes` and a few small fields.

    Raises: FileTooLarge at the first byte over; ValidationFailed when the body is not multipart/form-data or broken.
    """
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data" or not options.get("boundary"):
        raise _not_multipart("must be multipart/form-data with a boundary; send the photo as a form")
    form = UploadForm()
    try:
        parser = PushMultipartParser(
            options["boundary"], max_segment_count=MAX_FIELDS, max_header_size=16 * 1024, max_header_count=16
        )
        with parser:
            part = _Part(form, max_file_bytes)
            async for chunk in stream:
                for event in parser.parse(chunk):
                    part.take(event)
    except (MultipartError, UnicodeError, LookupError) as error:
        raise _not_multipart("is not well-formed multipart/form-data, or has too many or too large parts") from error
    return form


def _not_multipart(message: str) -> ValidationFailed:
    return ValidationFailed((FieldProblem("body", message),))


class _Part:
    """Collects the part that is being read. Unknown fields are read and forgotten."""

    def __init__(self, form: UploadForm, max_file_bytes: int) -> None:
        self._form = form
        self._max_file_bytes = max_file_bytes
        self._target: bytearray | None = None
        self._name = ""

    def take(self, event: Any) -> None:
        match event:
            case MultipartSegment():
                self._begin(event.name or "")
            case None:
                self._end()
            case data if self._target is not None:
                self._append(data)

    def _begin(self, name: str) -> None:
        self._name = name
        is_first_file = name == FILE and self._form.photo is None
        self._target = bytearray() if is_first_file or name in KNOWN else None

    def _append(self, data: bytes | bytearray) -> None:
        target = self._target
        if target is None:
            return
        if self._name == FILE and len(target) + len(data) > self._max_file_bytes:
            raise FileTooLarge(self._max_file_bytes)
        if self._name != FILE and len(target) + len(data) > MAX_FIELD_BYTES:
            raise ValidationFailed((FieldProblem(self._name, f"has more than {MAX_FIELD_BYTES:,} bytes"),))
        target += data

    def _end(self) -> None:
        if self._target is None:
            return
        if self._name == FILE:
            self._form.photo = self._target
        else:
            self._form.fields.setdefault(self._name, []).append(bytes(self._target))
        self._target = None
