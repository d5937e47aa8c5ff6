"""Tickets that are asked for with an idempotency key."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from adapters.system import SystemRandomSource
from application.answer_once import AnswerOnce
from application.authenticate import TicketTerms, UploadTickets
from domain.account import digest_of_key
from domain.customer import IdempotencyRecord, Pseudonyms
from domain.errors import InvalidApiKey, Overloaded
from tests.builders import MovableClock, a_database_with_accounts, an_account
from tests.durability.faults import Fault, FaultyUnitOfWork, Plan

KEY = "gk_dev_of_the_settings"
RECORD = IdempotencyRecord(b"key", b"request")


async def issued(work: Any, api_key: str = KEY) -> tuple[str, datetime]:
    clock = MovableClock()
    tickets = UploadTickets(
        work, AnswerOnce(work, clock), clock, SystemRandomSource(), Pseudonyms((b"k" * 32,)), digest_of_key(KEY)
    )
    return await tickets.issue(an_account(), api_key, TicketTerms(customer_id="1"), timedelta(minutes=10), RECORD)


async def test_the_same_request_gets_the_same_ticket() -> None:
    work = await a_database_with_accounts()
    assert await issued(work) == await issued(work)


async def test_a_lost_transaction_leaves_the_key_free() -> None:
    work = await a_database_with_accounts()
    with pytest.raises(Overloaded):
        await issued(FaultyUnitOfWork(work, Plan(Fault.FAILS_BEFORE, call="RequestRepository.finish")))
    assert await issued(work)


async def test_a_pass_of_the_page_gets_no_ticket_and_keeps_no_key() -> None:
    work = await a_database_with_accounts()
    with pytest.raises(InvalidApiKey):
        await issued(work, "pass")
    assert await issued(work)
