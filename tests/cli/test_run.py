"""The command line as a whole: what it says of itself, and how it answers mistakes."""

import sys
from importlib.metadata import version

import pytest

from commands import call, installed, program
from scheduler_svc.cli.commands import COMMANDS, found
from scheduler_svc.cli.run import run


async def test_the_script_and_the_module_tell_the_version_of_the_package() -> None:
    said = f"scheduler-svc {version('scheduler-svc')}"
    assert await call("--version") == (0, said)
    async with program(str(installed("scheduler-svc")), "--version") as script:
        assert (await script.end(), script.output) == (0, said)


def test_without_a_command_the_help_goes_to_stderr_and_the_code_is_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "usage: scheduler-svc" in told.err


def test_help_names_every_command_and_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for name in COMMANDS:
        command = found(name)
        assert command.name == name
        assert f"{name} {command.summary}" in told


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_a_command_is_what_its_own_switch_says(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(["help", name])
    by_help = capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        run([name, "--help"])
    assert by_help == capsys.readouterr().out != ""


@pytest.mark.parametrize(
    "arguments", [["sevre"], ["serve", "--worker", "2"], ["help", "nothing"], ["migrate", "now"]]
)
def test_what_it_can_not_read_is_refused_with_usage_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(arguments)
    assert "usage: scheduler-svc" in capsys.readouterr().err


async def test_a_reader_who_has_gone_ends_it_without_a_traceback() -> None:
    script = f"{sys.executable} -m scheduler_svc check-config | true"
    env = {"SCHEDULER_PROFILE": "development"}
    async with program("sh", "-c", script, env=env) as running:
        await running.end()
        assert "Traceback" not in running.output
        assert "Exception" not in running.output
