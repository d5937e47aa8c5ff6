"""Audit log: what was done to accounts, keys and persons, by whom and when. It names no customer and holds no key."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.account import AccountId


class Action(StrEnum):
    """What is entered. Codes never change: exports are read by other programs."""

    ACCOUNT_CREATED = "account_created"
    ACCOUNT_CHANGED = "account_changed"
    ACCOUNT_DELETED = "account_deleted"
    CREDITS_SET = "credits_set"
    KEY_CREATED = "key_created"
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    CUSTOMER_ERASED = "customer_erased"
    CUSTOMER_SHOWN = "customer_shown"
    CUSTOMER_EXPORTED = "customer_exported"
    ERASURE_REPLAYED = "erasure_replayed"
    IMAGES_UPLOADED = "images_uploaded"
    IMAGE_SHOWN = "image_shown"
    IMAGE_DELETED = "image_deleted"
    CLOCK_TRUSTED = "clock_trusted"
    STORAGE_REPAIRED = "storage_repaired"
    STORAGE_SET_UP = "storage_set_up"
    SCHEMA_UPGRADED = "schema_upgraded"
    EVIDENCE_COLLECTED = "evidence_collected"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`actor`: `user NAME (UID)` of the command line, `key KEY_ID`, or `service`. `subject`: the id of the key, erasure
    or image that is meant. `facts`: counts, limits, scopes. `entry_id` is given when the entry is kept.
    """

    at: datetime
    actor: str
    action: Action
    account_id: AccountId | None
    subject: str | None
    facts: Mapping[str, str | int | bool | None]
    entry_id: str = ""
