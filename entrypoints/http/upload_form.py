"""Read an upload's multipart form from the request stream: bounded while it is read, every malformed field named."""

import difflib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from application.upload_photo import UploadCommand
from domain.account import Account, RetentionPolicy
from domain.cropping import Fit
from domain.customer import Pseudonyms, external_id_problem
from domain.errors import FieldProblem, FileRequired, FileTooLarge, ValidationFailed
from domain.photo import PhotoWarning, WarningCode
from entrypoints.http.form_parts import Content, PartLimit, read_parts

FILE = "file"
MAX_FIELD_BYTES = 8 * 1024
"""256 characters of four bytes each, eight times over."""
FRAMING_BYTES = 256 * 1024
"""What a whole request may be larger than its file: boundaries, part headers and the other fields."""
ALIASES = {"customerId": "externalUserId", "retentionDays": "keepForDays"}
KNOWN = frozenset({"crop", "fit", "externalUserId", "keepForDays", *ALIASES})
MAX_UNKNOWN = 8
MAX_SHOWN_CHARS = 64
ADVICE = "send the photo as its part named file: curl -F file=@photo.jpg"
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
DAYS = {str(days): days for days in RetentionPolicy.ALLOWED_DAYS}

T = TypeVar("T")


@dataclass(slots=True)
class UploadForm:
    """The parts of one upload, still as they were sent."""

    photo: Content | None = None
    fields: dict[str, list[bytes]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """Of all parts, also of those that are ignored."""

    def to_command(self, account: Account, idempotency_key: str | None, pseudonyms: Pseudonyms) -> UploadCommand:
        """Raises: ValidationFailed that names every malformed field; FileRequired."""
        fields = _Fields(self.fields)
        key = unquoted(idempotency_key)
        customer_id = fields.get("externalUserId", _external_id)
        days = fields.get("keepForDays", _days)
        crop = fields.get("crop", _boolean)
        fit = fields.get("fit", _fit)
        if key is not None and not 1 <= len(key) <= 255:
            fields.problems.append(FieldProblem("Idempotency-Key", "must have 1 to 255 characters"))
        if fields.problems:
            raise ValidationFailed(tuple(fields.problems))
        if self.photo is None:
            raise FileRequired(tuple(dict.fromkeys(shown(name) for name in self.names)))
        account_id, crops, record = account.account_id, crop is not False, None
        if key is not None:
            said = (crops, customer_id, days, *((fit.value,) if fit is Fit.PAD else ()))
            digest = hashlib.sha256(self.photo)
            digest.update(repr(said).encode())
            record = pseudonyms.request(account_id, key, digest.digest())
        return UploadCommand(
            account=account,
            photo=self.photo,
            crop=crops,
            fit=fit or Fit.CROP,
            customer=pseudonyms.customer(account_id, customer_id) if customer_id is not None else None,
            retention=RetentionPolicy(days) if days is not None else None,
            idempotency=record,
            warnings=(*fields.warnings, *warnings_about_unknown(self.names, KNOWN | {FILE})),
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


def unquoted(idempotency_key: str | None) -> str | None:
    """The draft makes the header a quoted string: `"k"` and `k` are one key."""
    key = (idempotency_key or "").strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        return key[1:-1]
    return None if idempotency_key is None else key


def warnings_about_unknown(names: Iterable[str], known: frozenset[str]) -> Iterator[PhotoWarning]:
    """One for each of the first few names that are not known."""
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    for name in unknown[:MAX_UNKNOWN]:
        meant = _meant(name)
        hint = f' Did you mean "{meant}"?' if meant else ""
        message = f'The field "{shown(name)}" is not known and was ignored.{hint}'
        yield PhotoWarning(WarningCode.UNKNOWN_FIELD, message)


def _meant(name: str) -> str | None:
    """The known field that is written almost like this one: `keepfordays`, `external_user_id`, `keepForDay`."""
    known = {_bare(field): ALIASES.get(field, field) for field in KNOWN}
    close = difflib.get_close_matches(_bare(name), known, n=1, cutoff=0.75)
    return known[close[0]] if close else None


def _bare(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def shown(name: str) -> str:
    """A part's name, as an answer may repeat it."""
    return "".join(character if character.isprintable() else "?" for character in name[:MAX_SHOWN_CHARS]) or "(no name)"


def _external_id(text: str) -> str:
    if problem := external_id_problem(text):
        raise ValueError(problem)
    return text


def _days(text: str) -> int:
    if text not in DAYS:
        raise ValueError(RetentionPolicy.PROBLEM)
    return DAYS[text]


def _fit(text: str) -> Fit:
    try:
        return Fit(text)
    except ValueError:
        raise ValueError("must be crop or pad") from None


def _boolean(text: str) -> bool:
    if text.lower() not in BOOLEANS:
        raise ValueError("must be true or false")
    return BOOLEANS[text.lower()]


async def read_upload_form(content_type: str, stream: AsyncIterator[bytes], max_file_bytes: int) -> UploadForm:
    """Read the whole form, holding at most one file of `max_file_bytes` and a few small fields.

    Raises: FileTooLarge at the first byte over; ValidationFailed when the body is not multipart/form-data or broken.
    """
    form = UploadForm()
    too_large = FileTooLarge(max_file_bytes)
    too_large.path = FILE

    def limit_of(name: str) -> PartLimit | None:
        form.names.append(name)
        if name == FILE:
            return PartLimit(max_file_bytes, too_large)
        if name not in KNOWN:
            return None
        problem = FieldProblem(name, f"has more than {MAX_FIELD_BYTES:,} bytes")
        return PartLimit(MAX_FIELD_BYTES, ValidationFailed((problem,)))

    for name, content in await read_parts(content_type, stream, limit_of, advice=ADVICE):
        if name == FILE:
            form.photo = form.photo or content  # the first that is not empty: a form's untouched file field is
        else:
            form.fields.setdefault(name, []).append(bytes(content))
    return form
