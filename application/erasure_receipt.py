"""Receipts of erasures: what was done and what was verified, signed, for whoever has to show it later."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from application.erase_customer import ErasureOutcome
from domain.account import AccountId

MAX_BYTES: Final = 64 * 1024


PURPOSE: Final = b"tryon-images erasure receipt 1\0"
"""Before what is signed: the same key never signs anything else that could be taken for a receipt."""


Facts = Mapping[str, Any]


SignatureCheck = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, message): true when the key's owner signed the message."""


class ReceiptSigner(Protocol):
    """Signs with a key of which everybody may know the public half."""

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Returns: the public key and the signature."""
        ...


class NotAReceipt(Exception):
    """The text says, in one sentence, why a file proves nothing."""


def receipt_facts(
    account_id: AccountId, outcome: ErasureOutcome, verified: Facts, issued_at: datetime, version: str
) -> Facts:
    """Random ids, times and counts. Not the customer's id: a receipt outlives the erasure, and would keep it."""
    return {
        "erasureId": outcome.erasure_id,
        "accountId": account_id,
        "status": outcome.status,
        "imagesErased": outcome.images,
        "bytesLeft": outcome.bytes_left,
        "requestedAt": _text(outcome.requested_at),
        "issuedAt": _text(issued_at),
        "verified": {name: _text(found) for name, found in verified.items()},
        "toolVersion": version,
    }


def signed_receipt(facts: Facts, signer: ReceiptSigner) -> bytes:
    """A file for people and for `read_receipt`."""
    return _file(facts, *signer.sign(_signed(facts)))


def read_receipt(file: bytes, trusted: Collection[bytes], is_signed: SignatureCheck) -> Facts:
    """The facts of a receipt that one of the `trusted` public keys signed and of which no byte was changed.

    Raises: NotAReceipt.
    """
    try:
        parsed = json.loads(file[:MAX_BYTES])
        facts, public_key, signature = parsed["receipt"], *map(_decoded, (parsed["publicKey"], parsed["signature"]))
        written = _file(facts, public_key, signature)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise NotAReceipt("This is not a receipt that `customers erase --receipt` wrote.") from None
    # But for line ends, byte for byte: of two fields of one name, a person would read the first and a parser the last.
    if file.split() != written.split():
        raise NotAReceipt("The receipt was changed: it holds more than what was signed, or is written differently.")
    if not is_signed(public_key, signature, _signed(facts)):
        raise NotAReceipt("The receipt was changed: its signature does not fit what it says.")
    if public_key not in trusted:
        raise NotAReceipt(
            f"The receipt is whole, but nothing says whose the key is that signed it: {key_text(public_key)}."
        )
    found: Facts = facts
    return found


def key_text(public_key: bytes) -> str:
    """A public key as receipts and the command line write it."""
    return urlsafe_b64encode(public_key).decode()


def _signed(facts: Facts) -> bytes:
    return PURPOSE + json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def _file(facts: Facts, public_key: bytes, signature: bytes) -> bytes:
    whole = {"receipt": facts, "publicKey": key_text(public_key), "signature": urlsafe_b64encode(signature).decode()}
    return json.dumps(whole, indent=2).encode() + b"\n"


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text.encode("ascii"))


def _text(value: Any) -> Any:
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value
