"""Build the image's steps in a bare Debian root, and prove that its command runs there.

    sudo .venv/bin/python deploy/prove_image.py [--base FOLDER]

For where no container engine runs. It reads deploy/Dockerfile and does what it says: RUN by chroot,
COPY by copying, one root a stage, made with debootstrap. Debian's own Python stands in for the
image python:3.13-slim. Wheels are fetched outside and installed inside with the hashes of the lock.
Then the command of the last stage runs as its USER, with the root read-only and no /tmp, against a
throw-away PostgreSQL, migrates, serves, works off a job, sends its spans to a collector, and leaves
with 0 on SIGTERM, being process 1.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from commands import free_port  # noqa: E402
from scheduler_svc.store import embedded  # noqa: E402

SUITE, PYTHON = "bookworm", "3.11"
PACKAGES = "python3,python3-venv,ca-certificates"
HOME = "/opt/scheduler"
KEY = secrets.token_urlsafe(32)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
JOB = {
    "schedule": {"every": "1s"},
    "target": {"url": "http://nobody.invalid/"},
    "retry": {"max_attempts": 1},
}
"""The root has no network to call: the run ends `failed` by its look-up."""


class Stage:
    """One stage of the Dockerfile: its root, and what its instructions have set."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = "/"
        self.env: dict[str, str] = {"PATH": PATH}
        self.user = "0:0"
        self.entry: list[str] = []
        self.command: list[str] = []
        self.health: list[str] = []

    def inside(self, path: str) -> Path:
        return self.root / str(Path(self.folder) / path).lstrip("/")


def instructions() -> list[tuple[str, str]]:
    """Read the Dockerfile: each instruction with its text, lines joined, comments left out."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        (line.split(None, 1)[0], line.split(None, 1)[1]) for line in joined.splitlines() if line
    ]


def build(base: Path, wheels: Path, folder: Path) -> Stage:
    """Do what the Dockerfile says; return the last stage."""
    stages: dict[str, Stage] = {}
    stage = Stage(folder)
    for word, text in instructions():
        match word:
            case "FROM":
                name = text.partition(" AS ")[2] or "last"
                stage = stages[name] = Stage(folder / name)
                run("cp", "--archive", "--reflink=auto", str(base), str(stage.root))
            case "RUN":
                print(f"RUN {text[:100]} ...", flush=True)
                enter(stage, text, wheels)
            case "COPY":
                copy(stage, text, stages)
            case "ARG" | "LABEL" | "EXPOSE" | "STOPSIGNAL":
                pass
            case _:
                put(stage, word, text)
    return stage


def put(stage: Stage, word: str, text: str) -> None:
    """Take what an instruction sets for those that follow."""
    match word:
        case "WORKDIR":
            stage.folder = text
            stage.inside(text).mkdir(parents=True, exist_ok=True)
        case "ENV":
            for one in shlex.split(text):
                name, _, value = one.partition("=")
                stage.env[name] = value.replace("$PATH", stage.env["PATH"])
        case "USER":
            stage.user = text
        case "ENTRYPOINT":
            stage.entry = json.loads(text)
        case "CMD":
            stage.command = json.loads(text)
        case "HEALTHCHECK":
            stage.health = json.loads(text.partition("CMD ")[2])
        case _:
            raise SystemExit(f"{word} is an instruction that this script does not know")


def copy(stage: Stage, text: str, stages: dict[str, Stage]) -> None:
    words = text.split()
    source = ROOT
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    target = stage.inside(words.pop())
    for word in words:
        found = source / word.lstrip("/")
        if found.is_dir():
            ignore = shutil.ignore_patterns("__pycache__") if source == ROOT else None
            shutil.copytree(found, target, symlinks=True, ignore=ignore, dirs_exist_ok=True)
        else:
            into = target / found.name if target.is_dir() else target
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)


def enter(stage: Stage, text: str, wheels: Path) -> None:
    """Run a shell command in the root, with the wheels at hand and no network."""
    shutil.copytree(wheels, stage.root / "wheels", dirs_exist_ok=True)
    pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    command = ("unshare", "--net", "chroot", str(stage.root), "/bin/sh", "-ec")
    subprocess.run([*command, f"cd {stage.folder} && {text}"], env=stage.env | pip, check=True)
    shutil.rmtree(stage.root / "wheels")


def run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def serving(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    """Run the image's command as process 1 of its own, in its root, which nobody may write."""
    inner = shlex.join([*stage.entry, *stage.command])
    script = f"""
        mount --bind {stage.root} {stage.root}
        mount -t proc proc {stage.root}/proc
        mount -o remount,bind,ro {stage.root}
        exec chroot --userspec={stage.user} {stage.root} {inner}
    """
    process = subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "/bin/sh", "-ec", script],
        env=stage.env,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            # The child too: becoming another user has undone what would end it with its parent.
            for child in subprocess.run(
                ["pgrep", "-P", str(process.pid)], capture_output=True, check=False
            ).stdout.split():
                os.kill(int(child), signal.SIGKILL)
            process.kill()
        process.wait(10)


def ask(url: str, body: dict[str, object] | None = None) -> dict[str, object]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    request = urllib.request.Request(url, data, headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        found: dict[str, object] = json.load(answer)
        return found


def wait(url: str, process: subprocess.Popen[bytes]) -> dict[str, object]:
    for _ in range(300):
        try:
            return ask(url)
        except OSError:
            assert process.poll() is None, "the service ended"
            time.sleep(0.1)
    raise SystemExit("the service does not answer")


def inside(process: int, stage: Stage, command: str) -> str:
    """Run a command beside the service, as its user and with its view of the files."""
    enter = ("nsenter", f"--target={process}", "--mount", "--pid")
    done = subprocess.run(
        [*enter, "chroot", f"--userspec={stage.user}", str(stage.root), "/bin/sh", "-c", command],
        env=stage.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return done.stdout.strip()


def prove(stage: Stage) -> None:
    """Run the command and see it work; raise where it does not."""
    with (
        embedded.throw_away() as server,
        forwarded(socket_of(server.dsn)) as port,
        collecting() as (collector, traced),
    ):
        stage.env |= {
            "SCHEDULER_TRACE_URL": collector,
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{port}/postgres",
            "SCHEDULER_PORT": str(free_port()),
            "SCHEDULER_HOST": "127.0.0.1",
            "SCHEDULER_BOOTSTRAP_KEY": KEY,
            "SCHEDULER_SECRET_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        command, stage.command = stage.command, ["migrate"]
        with serving(stage) as process:
            assert process.wait(60) == 0, "migrate failed"
        stage.command = command
        with serving(stage) as process:
            base = f"http://127.0.0.1:{stage.env['SCHEDULER_PORT']}"
            print("ready:", wait(f"{base}/readyz", process)["versions"])
            service = int(subprocess.check_output(["pgrep", "-P", str(process.pid)]))
            look(service, stage)
            job = ask(f"{base}/jobs", JOB)
            ended(f"{base}/jobs/{job['id']}/runs?status=failed", process)
            print("a job was made, claimed, sent and settled")
            os.kill(service, signal.SIGTERM)
            code = process.wait(40)
            assert code == 0, code
            assert traced.is_set(), "no span was sent"
            print("left with 0 on SIGTERM, and its spans went to a collector")


def look(service: int, stage: Stage) -> None:
    """See who it is, and that it can write nowhere."""
    lines = Path(f"/proc/{service}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    user = stage.user.partition(":")[0]
    assert status["Uid"].split() == [user] * 4, status["Uid"]
    assert status["NSpid"].split()[-1] == "1", status["NSpid"]
    for where in ("", f"{HOME}/", "tmp/", "var/tmp/"):
        assert not inside(service, stage, f"touch /{where}x && echo written"), where
    root = Path(f"/proc/{service}/mountinfo").read_text()
    assert re.search(r" / ro,", root), root
    assert inside(service, stage, f"{shlex.join(stage.health)} && echo healthy") == "healthy"
    assert not inside(service, stage, "command -v cc gcc pip"), "something there builds or installs"
    print(f"process 1, as {user}, in a root that is read-only and has no compiler; healthy")


def ended(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if wait(url, process)["items"]:
            return
        time.sleep(0.1)
    raise SystemExit("no run ended")


def socket_of(dsn: str) -> str:
    found = re.search(r"host=([^&]+)&port=(\d+)", dsn)
    assert found is not None
    return f"{found[1]}/.s.PGSQL.{found[2]}"


@contextmanager
def collecting() -> Iterator[tuple[str, threading.Event]]:
    """Take spans on a port of loopback, and tell whether any came."""
    came = threading.Event()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                came.set()
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing of each request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Taking) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", came
        server.shutdown()


@contextmanager
def forwarded(path: str) -> Iterator[int]:
    """Lead a port of loopback to the embedded server, whose folder only its account may enter."""

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(path)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=pump, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]


def fetched(folder: Path) -> Path:
    """Fetch the wheels of the lock for the Python of the root, with whatever pip is set up here."""
    wheels, pip = folder / "wheels", folder / "pip"
    run(sys.executable, "-m", "venv", str(pip))
    subprocess.run(
        [
            *(f"{pip}/bin/python", "-m", "pip", "download", "--quiet", "--require-hashes"),
            *("--only-binary", ":all:", "--python-version", PYTHON, "--dest", str(wheels)),
            *("--requirement", str(ROOT / "requirements" / "image.txt")),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    return wheels


def debian(folder: Path) -> Path:
    """Make the root that stands in for the base image."""
    base = folder / "base"
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(base))
    (base / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    return base


def main() -> None:
    """Fetch, build, prove."""
    given = argparse.ArgumentParser(description="prove the image's steps without an engine")
    given.add_argument("--base", type=Path, help="a root made before, to save the minutes")
    asked = given.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("this makes roots and mounts: run it as root")
    with tempfile.TemporaryDirectory(prefix="image-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        base = asked.base or debian(folder)
        stage = build(base, fetched(folder), folder)
        size = subprocess.check_output(["du", "-sm", str(stage.inside(HOME))], text=True).split()[0]
        print(f"built; {HOME} is {size} MiB")
        prove(stage)


if __name__ == "__main__":
    main()
