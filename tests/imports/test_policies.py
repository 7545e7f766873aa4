"""What a job does beside its schedule: each setting of a system, kept or told of."""

from base64 import b64decode
from typing import Any

import pytest

from imports.comparing import by_name, of_file, options, said
from scheduler_svc.domain.imports import cloud_scheduler, crontab, kubernetes
from scheduler_svc.domain.imports.draft import Draft

HOST = "Europe/Berlin"


def k8s(name: str) -> Draft:
    return by_name(of_file("kubernetes", "kubernetes.yaml", suspended=True))[name]


def google(name: str, **more: Any) -> Draft:
    return by_name(of_file("cloud-scheduler", "cloud-scheduler.json", **more))[name]


def aws(name: str, **more: Any) -> Draft:
    return by_name(of_file("eventbridge", "eventbridge.json", **more))[name]


def dkron(name: str, **more: Any) -> Draft:
    return by_name(of_file("dkron", "dkron.json", **more))[name]


def entry(line: str, **more: Any) -> Draft:
    (draft,) = crontab.read(line, "t", options(**{"timezone": HOST, **more}), set())
    return draft


def test_a_command_keeps_its_input_user_and_settings() -> None:
    drafts = by_name(of_file("crontab", "system.crontab", timezone=HOST, system=True))
    body = drafts["certbot-renew"].spec["target"]["body"]
    assert body["user"] == "root"
    assert body["environment"] == {"SHELL": "/bin/sh"}
    assert drafts["certbot-renew"].schedule["spread"] == "30m"
    mail = by_name(of_file("crontab", "user.crontab", timezone=HOST))["mail-week-s-end"].spec
    assert mail["target"]["body"]["command"] == 'mail -s "Week\'s end" team@example.com'
    assert mail["target"]["body"]["input"] == "Good bye.\nSee you on Monday, 100% sure.\n"
    assert mail["target"]["url"] == "https://runner.example.com/run/mail-week-s-end"


def test_a_command_does_as_under_cron_and_no_more() -> None:
    spec = entry("0 1 * * * true").spec
    assert (spec["overlap"], spec["retry"]) == ("allow", {"max_attempts": 1})
    assert spec["misfire"] == {"policy": "skip"}
    assert said(entry("0 1 * * * root true"), "environment") == {"decision"}
    assert said(entry("MAILTO=''\n0 1 * * * true"), "output") == set()
    assert said(entry("0 1 * * * true"), "output") == {"differs"}


def test_what_has_no_address_is_left_out_unless_something_runs_it() -> None:
    draft = entry("0 1 * * * true", target=None)
    assert not draft.written
    assert said(draft, "target") == {"decision"}


def test_a_zone_that_nobody_says_is_a_decision() -> None:
    assert said(entry("0 1 * * * true", timezone=None), "timezone") == {"decision"}
    assert said(entry("0 1 * * * true"), "timezone") == {"same"}
    odd = entry("CRON_TZ=Mars/Olympus\n0 1 * * * true")
    assert said(odd, "timezone") == {"not_importable"}


def test_braces_of_a_command_stay_braces() -> None:
    body = entry("0 1 * * * echo {{x}} {{ run.id }}").spec["target"]["body"]
    assert body["command"] == "echo {{'{{'}}x}} {{'{{'}} run.id }}"


def test_cronjobs_keep_concurrency_deadline_and_backoff() -> None:
    report = k8s("billing.nightly-report")
    assert report.spec["overlap"] == "skip"
    assert said(report, "overlap") == {"differs"}
    assert report.spec["misfire"] == {"policy": "once", "max_lateness": "3m20s"}
    assert report.spec["retry"]["max_attempts"] == 3
    assert report.target["timeout"] == "10m"
    assert said(report, "history") == {"differs"}
    assert said(report, "environment") == {"differs"}
    assert report.target["body"]["containers"][0]["args"] == ["--all", "on", "2026-01-01"]
    assert k8s("every-minute").spec["overlap"] == "cancel"
    assert k8s("names").spec["overlap"] == "allow"
    assert k8s("names").spec["retry"]["max_attempts"] == 7
    assert said(k8s("names"), "missed") == {"differs"}
    assert k8s("odd-days").spec["retry"] == {"max_attempts": 1}
    assert k8s("hourly").spec["misfire"] == {"policy": "skip", "grace": "5s"}
    assert said(k8s("hourly"), "missed") == {"same", "differs"}
    assert said(k8s("zone-within"), "timezone") >= {"differs"}
    assert said(k8s("no-midnight"), "dst_search") == {"differs"}
    assert said(k8s("half-hour-zone"), "dst_search") == {"differs"}
    assert said(k8s("twice-in-autumn"), "dst_search") == set()


def test_days_are_read_by_the_librarys_own_rule() -> None:
    assert k8s("odd-days").schedule["cron"] == "0 9 1-31/2 * MON"
    assert k8s("full-days").schedule["cron"] == "0 9 1-31 * MON"
    assert k8s("star-in-list").schedule["cron"] == "0 9 * * TUE"
    assert said(k8s("odd-days"), "day_rule") == {"same"}


@pytest.mark.parametrize("suspended", [True, False])
def test_what_is_switched_off_is_written_only_if_asked_for(suspended: bool) -> None:
    for draft in (
        google("paused", suspended=suspended),
        aws("disabled", suspended=suspended),
        dkron("disabled", suspended=suspended),
        by_name(of_file("kubernetes", "kubernetes.yaml", suspended=suspended))["paused"],
    ):
        assert draft.written is suspended
        assert said(draft, "suspended") == {"decision"}


def test_http_targets_of_google_stay_as_they_are() -> None:
    spec = google("refresh-cache").spec
    assert spec["description"] == "Keeps pages warm"
    assert spec["target"] == {
        "url": "https://shop.example.com/tasks/refresh?full=1",
        "headers": {"Content-Type": "application/json"},
        "body": {"pages": ["/", "/sale"]},
        "timeout": "30s",
    }
    assert spec["retry"]["delays"] == ["5s", "10s", "20s"]
    assert spec["retry"]["on"] == ["3xx", "4xx", "5xx"]
    assert b64decode(google("odd-mondays").target["body_base64"]) == bytes([0, 1, 2, 255])
    assert google("nightly").target["method"] == "GET"
    assert google("nightly").target["auth"] == {
        "type": "oidc",
        "audience": "https://shop.example.com",
    }
    assert google("nightly").target["timeout"] == "3m"
    assert said(google("first-or-saturday"), "payload") == {"decision", "differs"}
    assert google("engine").target["url"] == "https://shop.ew.r.appspot.com/cron/clean"
    assert google("publish").target["body"]["topicName"] == "projects/shop/topics/orders"
    assert said(google("oauth"), "payload") >= {"decision"}


def test_googles_waits_double_some_times_and_then_add() -> None:
    # 10, 20, 40, 80 doubled three times, until a minute and a half is over.
    assert google("sunday-seven").spec["retry"]["delays"] == ["10s", "20s", "40s"]
    job = {
        "name": "a",
        "schedule": "0 1 * * *",
        "httpTarget": {"uri": "https://example.com/"},
        "retryConfig": {
            "retryCount": 5,
            "minBackoffDuration": "10s",
            "maxBackoffDuration": "300s",
            "maxDoublings": 2,
            "maxRetryDuration": "900s",
        },
    }
    (draft,) = cloud_scheduler.read(job, "t", options(), set())
    waits = ["10s", "20s", "40s", "1m20s", "2m", "2m40s", "3m20s", "4m"]
    assert draft.spec["retry"]["delays"] == waits


def test_schedules_of_aws_keep_window_retries_and_end() -> None:
    report = aws("reports.last-friday")
    assert report.schedule["spread"] == "15m"
    assert said(report, "spread") == {"differs"}
    assert report.spec["retry"] == {"max_attempts": 4, "deadline": "1h"}
    assert report.target["body"]["input"] == {"kind": "month"}
    assert said(report, "output") == {"differs"}
    assert aws("workdays").spec["retry"] == {"max_attempts": 1}
    assert aws("sunday-is-one").schedule["cron"].endswith("* 0")
    assert said(aws("sunday-is-one"), "weekday_numbers") == {"same"}
    assert aws("in-the-gap").schedule["dst_gap"] == "skip"
    assert aws("in-the-gap").schedule["dst_overlap"] == "first"
    assert aws("once").spec["delete_after_completion"] is True
    assert said(aws("rule-nightly"), "target") == {"decision"}
    assert aws("years").schedule["cron"] == "0 0 12 1 1,7 * 2027-2028"


def test_jobs_of_dkron_keep_executor_answers_and_concurrency() -> None:
    ping = dkron("ping")
    assert ping.spec["overlap"] == "skip"
    assert ping.spec["retry"]["max_attempts"] == 3
    assert ping.target["headers"] == {
        "Content-Type": "application/json",
        "X-Team": "web",
        "User-Agent": "shop",
    }
    assert ping.target["success_status"] == [200, 204]
    assert ping.target["timeout"] == "10s"
    assert said(ping, "output") == {"differs"}
    assert dkron("seconds").target["success_status"] == ["100-599"]
    assert said(dkron("seconds"), "response") >= {"decision"}
    assert said(dkron("body-check"), "response") >= {"decision"}
    assert said(dkron("body-check"), "target") == {"decision"}
    backup = dkron("backup").target["body"]
    assert backup == {
        "executor": "shell",
        "config": {"command": "/opt/backup.sh {{'{{'}}x}}", "shell": "true"},
    }
    assert said(dkron("no-zone"), "timezone") == {"decision"}
    assert said(dkron("ends"), "end") == {"differs"}


def test_names_are_told_apart_and_fit() -> None:
    lines = "0 1 * * * /x/run a\n0 2 * * * /y/run a\n0 3 * * * 日本\n" + f"0 4 * * * {'z' * 400}"
    drafts = crontab.read(lines, "t", options(timezone=HOST), set())
    names = [draft.name for draft in drafts]
    assert names[:3] == ["run-a", "run-a-2", "job"]
    assert len(names[3] or "") <= 128
    spec = {"schedule": "0 1 * * *"}
    ident = "01234567-89ab-cdef-0123-456789abcdef"
    job = {"kind": "CronJob", "metadata": {"name": ident}, "spec": spec}
    (draft,) = kubernetes.read(job, "t", options(), set())
    assert draft.name == f"job-{ident}"
