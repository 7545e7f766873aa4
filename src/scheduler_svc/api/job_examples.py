"""Examples of the documentation: requests that work as they stand, and what answers them."""

from typing import Any

CRON: dict[str, Any] = {
    "name": "nightly-report",
    "labels": {"team": "billing"},
    "schedule": {"cron": "0 9 * * MON", "timezone": "Europe/Berlin"},
    "target": {"url": "https://example.com/report", "body": {"kind": "weekly"}},
}
EVERY: dict[str, Any] = {
    "schedule": {"every": "30s"},
    "target": {"url": "https://example.com/poll", "method": "GET"},
}
ONCE: dict[str, Any] = {
    "schedule": {"at": "2030-01-01T00:00:00Z"},
    "target": {"url": "https://example.com/new-year"},
}
EXAMPLES = {"cron": CRON, "every": EVERY, "once": ONCE}
RUN_ID = "019b6a1c-8a00-8d1f-a3b4-5c6d7e8f9a0b"
JOB_ID = "019b6a1c-8a00-7d1f-a3b4-5c6d7e8f9a0b"
PREVIEW: dict[str, Any] = {
    "schedule": {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    "from": "2026-03-27T00:00:00Z",
    "count": 3,
}
JOB: dict[str, Any] = {
    "id": JOB_ID,
    "namespace": "default",
    "name": "nightly-report",
    "description": "",
    "labels": {"team": "billing"},
    "schedule": {
        "cron": "0 9 * * MON",
        "timezone": "Europe/Berlin",
        "dst_gap": "auto",
        "dst_overlap": "auto",
        "spread": "0s",
        "start": None,
        "end": None,
        "max_runs": None,
        "exclude": [],
    },
    "target": {
        "url": "https://example.com/report",
        "type": "http",
        "method": "POST",
        "headers": {},
        "body": {"kind": "weekly"},
        "timeout": "30s",
        "redirects": 0,
        "success_status": ["2xx"],
        "redact": {"headers": [], "pointers": []},
        "tls": None,
        "auth": None,
        "sign": None,
        "format": "plain",
        "concurrency_key": None,
        "completion": "response",
        "completion_timeout": None,
    },
    "retry": {
        "max_attempts": 4,
        "initial_delay": "5s",
        "multiplier": 4.0,
        "max_delay": "1h",
        "jitter": "full",
        "deadline": None,
        "delays": None,
        "on": [408, 425, 429, "5xx"],
    },
    "misfire": {"policy": "once", "grace": "1m", "max_lateness": None},
    "overlap": "skip",
    "priority": 0,
    "alerts": {
        "url": None,
        "every_failure": False,
        "failures_in_row": 3,
        "failures_of": None,
        "late_after": "5m",
        "never_ran": False,
        "slow_factor": None,
        "on_recovery": True,
    },
    "auto_pause_after": 0,
    "delete_after_completion": False,
    "retention": None,
    "state": "active",
    "pause": None,
    "next_fire_at": "2026-01-05T08:00:00Z",
    "upcoming": ["2026-01-05T08:00:00Z", "2026-01-12T08:00:00Z"],
    "last_run": None,
    "warnings": [],
    "revision": 1,
    "created_at": "2026-01-01T12:00:00Z",
    "updated_at": "2026-01-01T12:00:00Z",
}
