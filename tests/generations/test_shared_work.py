"""Two real worker processes share the work in one PostgreSQL, and one of them is killed in the middle of it."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from adapters.sql.schema import generations, images
from adapters.sql.unit_of_work import create_engine
from domain.account import RetentionPolicy
from domain.generation import Generation, GenerationId, Inputs
from domain.image import ImageId
from entrypoints.wiring.container import Container
from entrypoints.wiring.settings import Settings
from tests.builders import ACME, a_stored_photo, an_account, an_image
from tests.http.conftest import a_jpeg
from tests.patience import PATIENCE_SECONDS, until
from tests.try_on.fake_model import Answer, a_prediction, running

JOBS = 100
AT_ONCE = 4
MOST_SECONDS_AFTER_A_KILL = timedelta(seconds=30)


def a_worker(environment: dict[str, str]) -> "subprocess.Popen[bytes]":
    command = "from entrypoints.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", command, "worker", "--at-once", str(AT_ONCE)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


async def given_jobs(container: Container, jobs: int = JOBS) -> None:
    person, garment = an_image("img_person"), an_image("img_garment")
    now = container.clock().now()
    async with container.work().begin() as repositories:
        await repositories.accounts.add(an_account(ACME))
        for image in (person, garment):
            image = an_image(image.image_id, created_at=now)  # noqa: PLW2901 - the same image, born now
            await repositories.images.reserve(image)
            await container.objects().put(image.object_name, a_jpeg(40, 50))
            await repositories.images.publish(image, a_stored_photo())
        for number in range(jobs):
            await repositories.generations.add(
                Generation(
                    generation_id=GenerationId(f"gen_{number:03}"),
                    account_id=ACME,
                    created_at=now,
                    updated_at=now,
                    inputs=Inputs(ImageId("img_person"), (ImageId("img_garment"),), None, RetentionPolicy(1)),
                )
            )


async def rows(engine: AsyncEngine, *columns: Any) -> Sequence[Any]:
    async with engine.connect() as connection:
        return (await connection.execute(select(*columns))).all()


async def statuses(engine: AsyncEngine) -> Counter[str]:
    return Counter(row.status for row in await rows(engine, generations.c.status))


async def held(engine: AsyncEngine) -> dict[str, str]:
    found = await rows(engine, generations.c.id, generations.c.lease_id, generations.c.status)
    return {row.id: row.lease_id for row in found if row.status == "PROCESSING"}


async def test_two_workers_lose_nothing_and_do_nothing_twice_while_one_is_killed(
    postgres_url: str, tmp_path: Path
) -> None:
    environment = {
        "TRYON_DATABASE_URL": postgres_url,
        "TRYON_PSEUDONYM_KEY": "one-ring-for-all-replicas-32-bytes-long",
        "TRYON_DATA_DIR": str(tmp_path),
        "TRYON_ENGINE": "http",
        "TRYON_ENGINE_TIMEOUT_SECONDS": str(int(PATIENCE_SECONDS)),
    }
    container = Container(settings=Settings(database_url=postgres_url, data_dir=tmp_path))
    engine = create_engine(postgres_url)
    answer = Answer(body=a_prediction(a_jpeg(20, 25)).body, delay_seconds=0.1)
    with running(*[answer] * (JOBS + AT_ONCE), may_answer=False) as model:
        environment["TRYON_ENGINE_URL"] = model.url
        await given_jobs(container)
        crew = [a_worker(environment), a_worker(environment)]
        try:
            # Both are at it, each with as much as it takes on.
            await until(lambda: _are(lambda: held(engine), lambda found: len(found) == 2 * AT_ONCE))
            crew[0].send_signal(signal.SIGKILL)
            crew[0].wait()
            in_hand = await held(engine)
            assert len(in_hand) == 2 * AT_ONCE
            over_at = [
                row.due_at
                for row in await rows(engine, generations.c.due_at, generations.c.status)
                if row.status == "PROCESSING"
            ]
            assert max(over_at) <= datetime.now(UTC) + MOST_SECONDS_AFTER_A_KILL
            async with engine.begin() as connection:  # so that the rest may take as long as it likes
                later = "UPDATE generations SET due_at = due_at + INTERVAL '1 hour' WHERE status = 'PROCESSING'"
                await connection.execute(text(later))
            model.may_answer.set()

            # The other one does all the rest; what the dead one had is left lying about, under its leases.
            def is_only_the_dead_ones(found: dict[str, str]) -> bool:
                return found.items() <= in_hand.items()

            await until(lambda: _are(lambda: statuses(engine), lambda found: found["PENDING"] == 0))
            await until(lambda: _are(lambda: held(engine), is_only_the_dead_ones))
            orphans = await held(engine)
            assert 1 <= len(orphans) <= AT_ONCE
            assert crew[1].poll() is None

            # Their leases end.
            async with engine.begin() as connection:
                await connection.execute(text("UPDATE generations SET due_at = now() WHERE status = 'PROCESSING'"))
            await until(lambda: _are(lambda: statuses(engine), lambda found: found["COMPLETED"] == JOBS))
        finally:
            for process in crew:
                process.send_signal(signal.SIGTERM)
            codes = [process.wait(PATIENCE_SECONDS) for process in crew]
    assert codes == [-signal.SIGKILL, 0]
    assert len(model.requests) <= JOBS + AT_ONCE
    done = await rows(engine, generations.c.id, generations.c.result_image_id, generations.c.attempts)
    assert {row.id for row in done if row.attempts == 2} == set(orphans)
    assert {row.attempts for row in done} == {1, 2}
    results = {row.result_image_id for row in done}
    assert len(results) == JOBS
    stored = {row.id for row in await rows(engine, images.c.id, images.c.state) if row.state == "stored"}
    assert stored == results | {"img_person", "img_garment"}
    assert {path.stem for path in (tmp_path / "objects" / "ttl-1d").iterdir()} >= results
    await engine.dispose()
    await container.engine().dispose()


async def _are(look: Callable[[], Awaitable[Any]], judge: Callable[[Any], bool]) -> bool:
    return judge(await look())
