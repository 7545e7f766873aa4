"""What openapi-python-client makes of the document, used: create, list, page, read, be refused."""

import sys
import time

from generated import Client
from generated.api.jobs import create_job, list_jobs, trigger_job
from generated.api.runs import get_run, list_job_runs
from generated.models import (
    Job,
    JobDefinition,
    JobList,
    ListJobsSort,
    Problem,
    Run,
    RunDetail,
    RunList,
    RunStatus,
    Schedule,
    Target,
)
from generated.types import UNSET, Unset


def definition(name: str, url: str) -> JobDefinition:
    target = Target(url=url, body={"a": [1, None]})
    return JobDefinition(name=name, schedule=Schedule(every="1h"), target=target)


def main(base_url: str, url: str) -> None:
    with Client(base_url=base_url, raise_on_unexpected_status=True) as client:
        for number in (1, 2, 3):
            made = create_job.sync(
                client=client,
                body=definition(f"py-{number}", url),
                idempotency_key=f"py-{number}",
            )
            assert isinstance(made, Job), made
            assert (made.schedule.every, made.target.body) == ("1h", {"a": [1, None]})
        names: list[str | None] = []
        cursor: str | Unset | None = UNSET
        while cursor is not None:
            page = list_jobs.sync(
                client=client, limit=2, name_prefix="py-", sort=ListJobsSort.NAME, cursor=cursor
            )
            assert isinstance(page, JobList), page
            names += [job.name for job in page.items]
            cursor = page.next_cursor
        assert names == ["py-1", "py-2", "py-3"], names
        run: Run | RunDetail | Problem | None = trigger_job.sync("py-1", client=client)
        assert isinstance(run, Run), run
        id_ = run.id
        while run.status in {RunStatus.DUE, RunStatus.RUNNING}:
            time.sleep(0.05)
            run = get_run.sync(id_, client=client)
            assert isinstance(run, RunDetail), run
        assert run.status is RunStatus.SUCCEEDED, run
        assert [attempt.status_code for attempt in run.attempts] == [200], run
        runs = list_job_runs.sync("py-1", client=client)
        assert isinstance(runs, RunList), runs
        assert [one.id for one in runs.items] == [id_], runs
        refused = create_job.sync(client=client, body=definition("py-1", url))
        assert isinstance(refused, Problem), refused
        assert refused.code == "name_taken", refused
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
