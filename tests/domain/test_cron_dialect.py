"""The dialect: what is accepted, what it means, and how the rest is refused."""

import re
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise, product
from uuid import UUID

import pytest
from croniter import CroniterBadDateError, croniter
from cronsim import CronSim, CronSimError
from hypothesis import given
from hypothesis import strategies as st

from domain.brute import Brute, month_days
from scheduler_svc.domain.cron import compile_cron, is_hashed
from scheduler_svc.domain.cron_grammar import CronFault
from scheduler_svc.domain.cron_pattern import Pattern

JOB = UUID("0198c0de-0000-7000-8000-000000000001")
EPOCH = datetime.fromisoformat("1970-01-01")


def seconds(local: datetime) -> int:
    return (local - EPOCH) // timedelta(seconds=1)


def following(pattern: Pattern, local: datetime, count: int) -> list[datetime]:
    found: list[datetime] = []
    at = seconds(local)
    while len(found) < count and (step := pattern.next_from(at + 1)) is not None:
        found.append(EPOCH + timedelta(seconds=step))
        at = step
    return found


def shown(text: str, since: str, count: int = 4) -> list[str]:
    times = following(compile_cron(text, JOB), datetime.fromisoformat(since), count)
    return [f"{time:%Y-%m-%d %H:%M:%S}".removesuffix(":00") for time in times]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 9 * * MON", ["2026-01-05 09:00", "2026-01-12 09:00"]),
        ("  0\t9  * * mon ", ["2026-01-05 09:00", "2026-01-12 09:00"]),
        ("05 09 * * 1", ["2026-01-05 09:05", "2026-01-12 09:05"]),
        ("0 0 * * 0", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * 7", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("0 0 * * SAT,SUN", ["2026-01-03 00:00", "2026-01-04 00:00"]),
        ("0 0 * * 6-7", ["2026-01-03 00:00", "2026-01-04 00:00"]),
        ("5-59/15 * * * *", ["2026-01-01 00:05", "2026-01-01 00:20"]),
        ("0 9-9 * * *", ["2026-01-01 09:00", "2026-01-02 09:00"]),
        ("5-5/15 * * * *", ["2026-01-01 00:05", "2026-01-01 01:05"]),
        ("*/7 * * * *", ["2026-01-01 00:07", "2026-01-01 00:14"]),
        # Five fields have no seconds; six begin with them; seven end with the year.
        ("30 0 9 * * *", ["2026-01-01 09:00:30", "2026-01-02 09:00:30"]),
        ("*/20 * * * * *", ["2026-01-01 00:00:20", "2026-01-01 00:00:40"]),
        ("0 0 12 1 1 * 2027-2199/2", ["2027-01-01 12:00", "2029-01-01 12:00"]),
        ("0 0 0 1 1 * */2", ["2028-01-01 00:00", "2030-01-01 00:00"]),
        ("0 0 0 29 2 * 2196", ["2196-02-29 00:00"]),
        ("0 0 0 31 12 * 2199", ["2199-12-31 00:00"]),
        # The calendar.
        ("0 0 L * *", ["2026-01-31 00:00", "2026-02-28 00:00", "2026-03-31 00:00"]),
        ("0 0 15,L 2 *", ["2026-02-15 00:00", "2026-02-28 00:00"]),
        ("0 0 LW * *", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-31 00:00"]),
        ("0 0 15W * *", ["2026-01-15 00:00", "2026-02-16 00:00", "2026-03-16 00:00"]),
        ("0 0 1W 8 *", ["2026-08-03 00:00", "2027-08-02 00:00"]),
        ("0 0 31W * *", ["2026-01-30 00:00", "2026-03-31 00:00", "2026-05-29 00:00"]),
        ("0 0 * * 5L", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("0 0 * * FRI#L", ["2026-01-30 00:00", "2026-02-27 00:00"]),
        ("0 0 * * 2#3", ["2026-01-20 00:00", "2026-02-17 00:00"]),
        ("0 0 * * MON#5", ["2026-03-30 00:00", "2026-06-29 00:00"]),
        ("0 0 * * MON#1,FRI", ["2026-01-02 00:00", "2026-01-05 00:00", "2026-01-09 00:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        # Days are OR-ed, unless one begins with * or the weekday with +.
        ("0 0 13 * FRI", ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00"]),
        ("0 0 13 * +FRI", ["2026-02-13 00:00", "2026-03-13 00:00"]),
        ("0 0 */2 * MON", ["2026-01-05 00:00", "2026-01-19 00:00"]),
        ("0 0 1-31 * MON", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("0 0 15W * FRI#1", ["2026-01-02 00:00", "2026-01-15 00:00"]),
        ("0 0 ? * MON", ["2026-01-05 00:00", "2026-01-12 00:00"]),
        ("0 0 1 * ?", ["2026-02-01 00:00", "2026-03-01 00:00"]),
        # Nicknames.
        ("@hourly", ["2026-01-01 01:00", "2026-01-01 02:00"]),
        ("@daily", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("@midnight", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("@weekly", ["2026-01-04 00:00", "2026-01-11 00:00"]),
        ("@monthly", ["2026-02-01 00:00", "2026-03-01 00:00"]),
        ("@yearly", ["2027-01-01 00:00", "2028-01-01 00:00"]),
        ("@annually", ["2027-01-01 00:00", "2028-01-01 00:00"]),
    ],
)
def test_an_expression_means(text: str, expected: list[str]) -> None:
    assert shown(text, "2026-01-01 00:00", len(expected)) == expected


ORDER = ["second", "minute", "hour", "day-of-month", "month", "day-of-week", "year"]
REFUSED = [
    ("60 * * * *", "minute", "60", "59"),
    ("* 24 * * *", "hour", "24", "0"),
    ("0 0 0 * *", "day-of-month", "0", "1"),
    ("0 0 32 * *", "day-of-month", "32", "31"),
    ("0 0 * 13 *", "month", "13", "12"),
    ("0 0 * * 8", "day-of-week", "8", "7"),
    ("0 0 0 1 1 * 2200", "year", "2200", "2199"),
    ("0 0 0 1 1 * 1969", "year", "1969", "1970"),
    ("60 0 0 1 1 *", "second", "60", "59"),
    ("0/15 * * * *", "minute", "0/15", "0-59/15"),
    ("59/15 * * * *", "minute", "59/15", "59"),
    ("/5 * * * *", "minute", "/5", "*/5"),
    ("*/0 * * * *", "minute", "*/0", "*/1"),
    ("1-5/2/2 * * * *", "minute", "1-5/2/2", "1-5/2"),
    ("0 22-2 * * *", "hour", "22-2", "22-23,0-2"),
    ("0 0 * * FRI-SUN", "day-of-week", "FRI-SUN", "FRI-SAT,SUN"),
    ("0 0 * NOV-FEB *", "month", "NOV-FEB", "NOV-DEC,JAN-FEB"),
    ("0 0 * * MONDAY", "day-of-week", "MONDAY", "MON"),
    ("0 0 * JUNE *", "month", "JUNE", "JUN"),
    ("R * * * *", "minute", "R", "H"),
    ("R(0-5) * * * *", "minute", "R(0-5)", "H(0-5)"),
    ("1~5 * * * *", "minute", "1~5", "H(1-5)"),
    ("h * * * *", "minute", "h", "H"),
    ("H(5-2) * * * *", "minute", "H(5-2)", "H(2-5)"),
    ("0 0 0 1 1 * H", "year", "H", "*"),
    ("0 0 l * *", "day-of-month", "l", "L"),
    ("0 0 15w * *", "day-of-month", "15w", "15W"),
    ("0 0 W15 * *", "day-of-month", "W15", "15W"),
    ("0 0 1-15W * *", "day-of-month", "1-15W", "1W"),
    ("0 0 L-3 * *", "day-of-month", "L-3", "L"),
    ("0 0 * * L", "day-of-week", "L", "SAT#L"),
    ("0 0 * * FRIL", "day-of-week", "FRIL", "FRI#L"),
    ("0 0 * * 5l", "day-of-week", "5l", "5L"),
    ("0 0 * * L5", "day-of-week", "L5", "5#L"),
    ("0 0 * * 1#6", "day-of-week", "1#6", "1#5"),
    ("0 0 * * 1#0", "day-of-week", "1#0", "1#1"),
    ("? * * * *", "minute", "?", "*"),
    ("0 0 +1 * *", "day-of-month", "+1", "1"),
    ("1.5 * * * *", "minute", "1.5", "1"),
    ("-5 * * * *", "minute", "-5", "5"),
    ("*5 * * * *", "minute", "*5", "*"),
]


@pytest.mark.parametrize(("text", "field", "value", "cure"), REFUSED)
def test_a_refusal_names_field_value_and_a_form_that_is_accepted(
    text: str, field: str, value: str, cure: str
) -> None:
    with pytest.raises(CronFault) as refused:
        compile_cron(text, JOB)
    sentence = str(refused.value)
    assert sentence.startswith(f"{field} field, value '{value}': ")
    assert sentence.endswith(f"; write '{cure}'")
    fields = text.split()
    at = ORDER.index(field) - (len(fields) == 5)
    assert fields[at] == value
    compile_cron(" ".join([*fields[:at], cure, *fields[at + 1 :]]), JOB)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("* * * *", "4 fields"),
        ("* * * * * * * *", "8 fields"),
        ("@reboot", "no reboot"),
        ("@Daily", "@daily"),
        ("@every 5m", "'every'"),
        ("@fortnightly", "unknown"),
        ("TZ=UTC 0 9 * * *", "'timezone'"),
        ("0 0 30 2 *", "never matches"),
        ("0 0 31 4,6,9,11 *", "never matches"),
        ("0 0 0 29 2 * 2199", "no day from 1970 to 2199"),
        ("0 0 1W,15W * *", "list"),
        ("0 0 LW,15 * *", "list"),
        ("0 0 1,,2 * *", "empty item"),
        ("0 0 * * +", "empty item"),
        ("5- * * * *", "both its ends"),
        ("0 0 1#2 * *", "day-of-week field only"),
        ("0 0 * * 15W", "day-of-month field only"),
        ("0 0 * FOO *", "no name"),
        ("MON * * * *", "numbers, not names"),
        ("0 0 * * *\n", "ASCII"),
        ("\x00 * * * *", r"\\x00"),
        ("0 0 * * \u041c\u041e\u041d", "ASCII"),
        ("٣ * * * *", "ASCII"),
        ("0 0 * * *" + " " * 250, "at most 255"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(CronFault, match=reason):
        compile_cron(text, JOB)


@given(st.text("0123456789*,-/ LW#?+HR()MONFRI@\x00é", max_size=30) | st.text(max_size=300))
def test_any_text_is_either_compiled_or_refused_in_words(text: str) -> None:
    try:
        compile_cron(text, JOB)
    except CronFault as fault:
        sentence = str(fault)
    else:
        return
    assert 10 < len(sentence) < 500


SPANS = [(0, 0, 59), (1, 0, 23), (2, 1, 31), (3, 1, 12), (4, 0, 7)]


@pytest.mark.parametrize(("index", "low", "high"), SPANS)
def test_every_range_and_step_of_a_field_names_what_it_says(
    index: int, low: int, high: int
) -> None:
    """What croniter makes of each range is under test here: its values are ours."""
    for first, last in product(range(low, high + 1), repeat=2):
        if first > last or (index == 0 and (first % 7 or last % 5)):
            continue
        for step in (1, 2, 3, 7, 90):
            fields = ["0", "0", "*", "*", "*"]
            fields[index] = f"{first}-{last}/{step}"
            pattern = compile_cron(" ".join(fields), JOB)
            named = set(range(first, last + 1, step))
            assert values_of(pattern, index) == ({n % 7 for n in named} if index == 4 else named)


def values_of(pattern: Pattern, index: int) -> set[int]:
    """Read back the values of one field, all the others but the clock being open."""
    if index < 2:
        mask = (pattern.minutes, pattern.hours)[index]
        return {value for value in range(60) if mask >> value & 1}
    year = [date(2028, 1, 1) + timedelta(days=number) for number in range(366)]
    days = [day for day in year if pattern.has_day((day - EPOCH.date()).days)]
    return {(day.day, day.month, (day.weekday() + 1) % 7)[index - 2] for day in days}


DAYS = ["*", "?", "*/2", "1", "31", "1,15", "10-20", "L", "LW", "1W", "15W", "30W", "29,L", "*/10"]
WEEKDAYS = ["*", "?", "MON", "+MON", "5L", "FRI#L", "SUN#1,WED#3", "MON-FRI", "*/3", "+1-5", "7"]


def days_of_every_kind_of_month() -> list[date]:
    """List the days of 28 months: each length from 28 to 31 with each first weekday."""
    kinds: dict[tuple[int, int], list[date]] = {}
    for number in range(40 * 12):
        month = month_days(date(1999 + number // 12, number % 12 + 1, 1))
        kinds.setdefault((len(month), month[0].weekday()), month)
    assert len(kinds) == 28
    return [day for month in kinds.values() for day in month]


EVERY_KIND = days_of_every_kind_of_month()


@pytest.mark.parametrize("day", DAYS)
def test_days_agree_with_a_second_reading_in_every_kind_of_month(day: str) -> None:
    for weekday in WEEKDAYS:
        text = f"0 0 {day} * {weekday}"
        brute, pattern = Brute(text), compile_cron(text, JOB)
        got = [each for each in EVERY_KIND if pattern.has_day((each - EPOCH.date()).days)]
        assert got == [each for each in EVERY_KIND if brute.has_day(each)], text


COMMON = st.sampled_from(["*", "*/5", "0", "7,31", "10-20/3", "59"])
HOURS = st.sampled_from(["*", "*/2", "0", "9-17", "23", "0,12"])
DATES = st.sampled_from(["*", "1", "31", "*/2", "10-20", "29"])
MONTHS = st.sampled_from(["*", "2", "JAN,JUN", "*/3", "4-6"])
DOWS = st.sampled_from(["*", "MON", "1-5", "SUN", "*/2"])
STARTS = st.integers(525_600, 63_000_000).map(lambda minute: EPOCH + timedelta(minutes=minute))


@given(COMMON, HOURS, DATES, MONTHS, DOWS, STARTS)
def test_stepping_agrees_with_croniter_on_naive_time(
    minute: str, hour: str, day: str, month: str, weekday: str, start: datetime
) -> None:
    text = f"{minute} {hour} {day} {month} {weekday}"
    theirs = croniter(text, start, implement_cron_bug=True)
    try:
        compile_cron(text, JOB)
    except CronFault:
        with pytest.raises(CroniterBadDateError):
            theirs.get_next(datetime)
        return
    expected = [theirs.get_next(datetime) for _ in range(5)]
    assert following(compile_cron(text, JOB), start, 5) == expected


@given(COMMON, HOURS, DATES, MONTHS, DOWS, STARTS)
def test_stepping_agrees_with_cronsim_in_utc(
    minute: str, hour: str, day: str, month: str, weekday: str, start: datetime
) -> None:
    """Without clock changes the two have no difference on OCPS 1.0."""
    text = f"{minute} {hour} {day} {month} {weekday}"
    try:
        theirs = CronSim(text, start.replace(tzinfo=UTC))
    except CronSimError:
        with pytest.raises(CronFault):
            compile_cron(text, JOB)
        return
    expected = [next(theirs).replace(tzinfo=None) for _ in range(5)]
    assert following(compile_cron(text, JOB), start, 5) == expected


def test_a_hash_is_stable_in_range_and_spread_over_jobs() -> None:
    pattern = "H H(1-5) * * *"
    minutes = [0] * 60
    for number in range(10_000):
        drawn = compile_cron(pattern, UUID(int=number * 7919))
        assert drawn.hours.bit_count() == drawn.minutes.bit_count() == 1
        assert 1 <= drawn.hours.bit_length() - 1 <= 5
        minutes[drawn.minutes.bit_length() - 1] += 1
    expected = 10_000 / 60
    chi_square = sum((count - expected) ** 2 / expected for count in minutes)
    assert chi_square < 98.3  # 59 degrees of freedom: beyond this once in a thousand
    assert shown(pattern, "2026-01-01 00:00") == shown(pattern, "2026-01-01 00:00")


@pytest.mark.parametrize("step", [1, 2, 7, 15, 59, 90])
def test_a_hashed_step_has_the_pace_of_its_step(step: int) -> None:
    for number in range(50):
        mask = compile_cron(f"H/{step} * * * *", UUID(int=number)).minutes
        values = [minute for minute in range(60) if mask >> minute & 1]
        assert values[0] < step
        assert all(later - earlier == step for earlier, later in pairwise(values))
        assert 60 - values[-1] <= step or len(values) == 1


def test_a_hashed_day_is_one_that_every_month_has() -> None:
    for number in range(300):
        pattern = compile_cron("0 0 H * *", UUID(int=number))
        assert len(following(pattern, datetime.fromisoformat("2025-12-31"), 12)) == 12
        months = {
            time.month
            for time in following(pattern, datetime.fromisoformat("2025-12-31 12:00"), 12)
        }
        assert months == set(range(1, 13))


def test_only_a_hash_makes_the_job_matter() -> None:
    assert is_hashed("H 9 * * *")
    assert not is_hashed("0 9 * * THU")
    assert compile_cron("0 9 * * THU", JOB) is compile_cron("0 9 * * THU", UUID(int=1))


def test_no_name_of_a_field_is_read_by_position_alone() -> None:
    """Names of months and days share letters; each is known in its own field only."""
    with pytest.raises(CronFault, match=re.escape("the names are SUN")):
        compile_cron("0 0 * * JAN", JOB)
