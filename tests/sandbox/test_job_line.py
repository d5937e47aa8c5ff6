"""Who is served when jobs wait for workers, or workers for jobs."""

from adapters.sandbox.job_line import JobLine


async def test_jobs_are_taken_in_the_order_in_which_they_came() -> None:
    line: JobLine[str] = JobLine()
    for photo in ("first", "second"):
        line.put(photo)
    assert [await line.take(), await line.take()] == ["first", "second"]


async def test_of_the_workers_that_wait_the_one_that_came_last_is_served_first() -> None:
    line: JobLine[str] = JobLine()
    cold, warm = line.take(), line.take()
    line.put("one")
    assert (cold.done(), await warm) == (False, "one")
    line.put("two")
    assert await cold == "two"


async def test_who_has_left_is_not_served_and_who_was_served_cannot_leave() -> None:
    line: JobLine[str] = JobLine()
    gone, served = line.take(), line.take()
    line.put("one")
    line.leave(served)
    line.leave(gone)
    line.put("two")
    assert (await served, gone.done()) == ("one", False)
    assert list(line.drain()) == ["two"]
    assert list(line.drain()) == []
