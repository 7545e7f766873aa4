"""What was judged once is vouched for again, and no more of it is kept than there is room for."""

from factories import definition
from scheduler_svc.api.known_parts import KnownParts

ROOM = 3


def test_as_much_is_vouched_for_as_there_is_room_for() -> None:
    known = KnownParts(kept_max=ROOM)
    jobs = [
        definition(
            target={"url": f"https://host-{n}.example.com/", "headers": {f"X-{n}": "1"}},
            retry={"max_attempts": n + 1},
        )
        for n in range(100)
    ]
    for number, job in enumerate(jobs):
        assert known.normal(job) is None
        known.learn(job, job)
        assert known.normal(job) is job
        vouched_for = sum(known.normal(one) is not None for one in jobs[: number + 1])
        assert 1 <= vouched_for <= ROOM
