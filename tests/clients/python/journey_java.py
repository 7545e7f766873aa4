"""What openapi-generator makes of the document for Python, used: create, list, page, read."""

import sys
import time

import made_client
from made_client import (
    ApiException,
    JobDefinition,
    JobsApi,
    RunsApi,
    RunStatus,
    Schedule,
    Target,
)


def definition(name: str, url: str) -> JobDefinition:
    return JobDefinition(name=name, schedule=Schedule(every="1h"), target=Target(url=url))


def main(base_url: str, url: str) -> None:
    with made_client.ApiClient(made_client.Configuration(host=base_url)) as client:
        jobs, runs = JobsApi(client), RunsApi(client)
        for number in (1, 2, 3):
            made = jobs.create_job(
                definition(f"java-{number}", url), idempotency_key=f"java-{number}"
            )
            assert made.schedule.every == "1h", made
        names, cursor = [], None
        while True:
            page = jobs.list_jobs(limit=2, name_prefix="java-", sort="name", cursor=cursor)
            names += [job.name for job in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert names == ["java-1", "java-2", "java-3"], names
        run = jobs.trigger_job("java-1")
        while run.status in {RunStatus.DUE, RunStatus.RUNNING}:
            time.sleep(0.05)
            run = runs.get_run(run.id)
        assert run.status is RunStatus.SUCCEEDED, run
        assert [one.id for one in runs.list_job_runs("java-1").items] == [run.id]
        refused: ApiException | None = None
        try:
            jobs.create_job(definition("java-1", url))
        except ApiException as error:
            refused = error
        assert refused is not None
        assert refused.data.code == "name_taken", refused
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
