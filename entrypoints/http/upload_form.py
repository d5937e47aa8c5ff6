"""Read an upload's multipart form from the request stream: bounded while it is read, every malformed field named.

What a form says of its photo a ticket fixes in JSON, and a try-on says in part: their fields are checked here, too.
"""

import difflib
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from application.authenticate import Ticket, TicketTerms
from application.upload_photo import UploadCommand
from domain.account import Account, RetentionPolicy
from domain.cropping import Fit
from domain.customer import Pseudonyms, external_id_problem
from domain.errors import FieldProblem, FileRequired, FileTooLarge, ValidationFailed
from domain.photo import PhotoWarning, WarningCode
from entrypoints.http.form_parts import Content, PartLimit, read_parts

FILE: Final = "file"
MAX_FIELD_BYTES: Final = 8 * 1024
"""256 characters of four bytes each, eight times over."""
ALIASES: Final = {"customerId": "externalUserId", "retentionDays": "keepForDays"}
MAX_UNKNOWN: Final = 8
MAX_SHOWN_CHARS: Final = 64
MAX_PROBLEMS: Final = 50
MAX_KEY_CHARS: Final = 255
ADVICE: Final = "send the photo as its part named file: curl -F file=@photo.jpg"
USUAL_TICKET: Final = timedelta(seconds=600)

Check = Callable[[Any], str | None]
"""From a value to what is wrong with it, for the client."""


def customer_id_problem(value: object) -> str | None:
    """Of the id of an end user."""
    return external_id_problem(value) if isinstance(value, str) else "must be a string"


def days_problem(value: object) -> str | None:
    """Of how long a picture is kept."""
    is_allowed = type(value) is int and value in RetentionPolicy.ALLOWED_DAYS
    return None if is_allowed else RetentionPolicy.PROBLEM


def flag_problem(value: object) -> str | None:
    """Of what is true or false."""
    return None if isinstance(value, bool) else "must be true or false"


def whole_number(least: int, most: int) -> Check:
    """Of a number in these bounds."""
    problem = f"must be a whole number from {least:,} to {most:,}"
    return lambda value: None if type(value) is int and least <= value <= most else problem


CHECKS: Final[Mapping[str, Check]] = {
    "externalUserId": customer_id_problem,
    "keepForDays": days_problem,
    "crop": flag_problem,
    "fit": lambda value: None if value in tuple(Fit) else "must be crop or pad",
}
LIFETIME: Final = "expiresInSeconds"
lifetime_problem: Final = whole_number(60, int(Ticket.LONGEST.total_seconds()))
SPELLINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "keepForDays": {str(days): days for days in RetentionPolicy.ALLOWED_DAYS},
    "crop": {"true": True, "1": True, "false": False, "0": False},
}
"""How a form writes what is no text; in any case."""
KNOWN: Final = frozenset({*CHECKS, *ALIASES})


class Problems:
    """The malformed fields of a request: every one is named, once, and fifty at the most."""

    def __init__(self) -> None:
        self._found: dict[FieldProblem, None] = {}

    def note(self, path: str, message: str) -> None:
        if len(self._found) < MAX_PROBLEMS:
            self._found[FieldProblem(path, message)] = None

    def expect_none(self) -> None:
        """Raises: ValidationFailed."""
        if self._found:
            raise ValidationFailed(tuple(self._found))

    def checked(self, path: str, value: Any, problem_of: Check) -> Any:
        """The value; None when it was not sent (`null` counts as that) or something is wrong with it."""
        if value is None or not (problem := problem_of(value)):
            return value
        self.note(path, problem)
        return None

    def idempotency_key(self, header: str | None) -> str | None:
        """The draft makes the header a quoted string: `"k"` and `k` are one key."""
        if header is None:
            return None
        key = header.strip()
        key = key[1:-1] if len(key) >= 2 and key[0] == key[-1] == '"' else key
        if not 1 <= len(key) <= MAX_KEY_CHARS:
            self.note("Idempotency-Key", f"must have 1 to {MAX_KEY_CHARS} characters")
        return key


@dataclass(slots=True)
class UploadForm:
    """The parts of one upload, still as they were sent."""

    photo: Content | None = None
    fields: dict[str, list[bytes]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    """Of all parts, also of those that are ignored."""

    def to_command(
        self, account: Account, idempotency_key: str | None, pseudonyms: Pseudonyms, fixed: TicketTerms | None = None
    ) -> UploadCommand:
        """`fixed`: by a ticket, in place of the form's own fields.

        Raises: ValidationFailed that names every malformed field; FileRequired.
        """
        problems = Problems()
        fields = _Fields(self.fields, problems)
        terms = fixed or fields.terms()
        key = problems.idempotency_key(idempotency_key)
        problems.expect_none()
        if self.photo is None:
            raise FileRequired(tuple(dict.fromkeys(shown(name) for name in self.names)))
        account_id, customer_id, days = account.account_id, terms.customer_id, terms.keep_for_days
        crops, fit, record = terms.crop is not False, Fit(terms.fit or Fit.CROP), None
        if key is not None:
            said = (crops, customer_id, days, *((fit.value,) if fit is Fit.PAD else ()))
            digest = hashlib.sha256(self.photo)
            digest.update(repr(said).encode())
            record = pseudonyms.request(account_id, key, digest.digest())
        return UploadCommand(
            account=account,
            photo=self.photo,
            crop=crops,
            fit=fit,
            customer=pseudonyms.customer(account_id, customer_id) if customer_id is not None else None,
            retention=RetentionPolicy(days) if days is not None else None,
            idempotency=record,
            warnings=(*fields.warnings, *warnings_about_unknown(self.names, KNOWN | {FILE})),
        )


class _Fields:
    """Looks fields up by their new names, takes note of what is wrong and of what is outdated."""

    def __init__(self, sent: dict[str, list[bytes]], problems: Problems) -> None:
        self._sent = sent
        self._problems = problems
        self.warnings: list[PhotoWarning] = []

    def terms(self) -> TicketTerms:
        customer_id, days, crop, fit = map(self._get, CHECKS)
        return TicketTerms(customer_id=customer_id, keep_for_days=days, crop=crop, fit=fit)

    def _get(self, name: str) -> Any:
        alias = next((old for old, new in ALIASES.items() if new == name), None)
        current = self._value(name, name)
        outdated = self._value(alias, name) if alias else None
        if alias and outdated is not None:
            self.warnings.append(
                PhotoWarning(WarningCode.DEPRECATED_FIELD, f'The field "{alias}" is deprecated. Send "{name}" instead.')
            )
            if current is not None and current != outdated:
                self._problems.note(alias, f'differs from "{name}", of which it is a deprecated alias')
        return outdated if current is None else current

    def _value(self, sent_as: str, name: str) -> Any:
        try:
            texts = [value.decode() for value in self._sent.get(sent_as, []) if value]
        except UnicodeDecodeError:
            self._problems.note(sent_as, "is not valid UTF-8")
            return None
        values = [SPELLINGS.get(name, {}).get(text.lower(), text) for text in texts]
        problem = next(filter(None, map(CHECKS[name], values)), None)
        if problem is None and len(set(values)) > 1:
            problem = "was sent more than once with different values"
        return self._problems.checked(sent_as, next(iter(values), None), lambda _: problem)


def ticket_terms(body: Mapping[str, Any], problems: Problems) -> tuple[TicketTerms, timedelta]:
    """What a ticket fixes, and how long it is good for."""
    customer_id, days, crop, fit = (problems.checked(name, body.get(name), check) for name, check in CHECKS.items())
    seconds = body.get(LIFETIME)
    if isinstance(seconds, float) and seconds.is_integer():  # to JSON Schema, 60.0 is an integer
        seconds = int(seconds)
    seconds = problems.checked(LIFETIME, seconds, lifetime_problem)
    terms = TicketTerms(customer_id=customer_id, keep_for_days=days, crop=crop, fit=fit)
    return terms, USUAL_TICKET if seconds is None else timedelta(seconds=seconds)


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


async def read_upload_form(content_type: str, stream: AsyncIterator[bytes], max_file_bytes: int) -> UploadForm:
    """Read the whole form, holding at most one file of `max_file_bytes` and a few small fields.

    Raises: FileTooLarge at the first byte over; ValidationFailed when the body is not multipart/form-data or broken.
    """
    form = UploadForm()

    def limit_of(name: str) -> PartLimit | None:
        form.names.append(name)
        if name == FILE:
            return PartLimit(max_file_bytes, FileTooLarge(max_file_bytes, path=FILE))
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
