"""The sender against a server of this world: nginx, started with a configuration of the test."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from time import monotonic, sleep

import pytest

from sending import both_loops, call, sending

NGINX = shutil.which(
    "nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin"
)

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

CONFIGURATION = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 5;
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 1k;
    location = /ok {{ return 200 "hello"; }}
    location = /none {{ return 204; }}
    location = /gone {{ return 410 "gone"; }}
    location = /away {{ return 307 /ok; }}
    location = /close {{ keepalive_timeout 0; return 200 "bye"; }}
    location = /drop {{ return 444; }}
    location = /small {{ proxy_pass http://127.0.0.1:{port}/ok; proxy_request_buffering on; }}
    location = /bad {{ proxy_pass http://127.0.0.1:1/; }}
    location /files/ {{ alias {folder}/files/; }}
    location /zipped/ {{ alias {folder}/files/; gzip on; gzip_types *; gzip_min_length 1; ssi on; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "files").mkdir()
    (folder / "files" / "big").write_bytes(b"x" * 1_000_000)
    (folder / "files" / "page.html").write_bytes(b"<p>page</p>")
    above = [one for one in folder.parents if one.name.startswith(("pytest-", "popen-"))]
    for made in (folder, folder / "files", *above):
        made.chmod(0o755)  # its worker gives up the rights of root
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port))
    assert NGINX is not None
    process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(configuration), "-e", "stderr"])
    try:
        _await_listening(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _await_listening(port: int, process: subprocess.Popen[bytes]) -> None:
    """Knock until it answers: nginx tells nobody when it listens."""
    ends = monotonic() + 10
    while process.poll() is None and monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            sleep(0.01)
        else:
            return
    raise AssertionError("nginx does not listen")


@both_loops
async def test_every_method_is_understood(nginx: str) -> None:
    async with sending() as sender:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            exchange = await sender.send(call(f"{nginx}/ok", method))
            assert (exchange.outcome, exchange.status_code, exchange.body) == ("ok", 200, b"hello")
        head = await sender.send(call(f"{nginx}/ok", "HEAD"))
        assert (head.outcome, head.status_code, head.body) == ("ok", 200, b"")
        assert ("Content-Length", "5") in head.headers


@both_loops
async def test_connections_are_kept_as_long_as_nginx_keeps_them(nginx: str) -> None:
    async with sending() as sender:
        exchanges = [await sender.send(call(f"{nginx}/ok", "GET")) for _ in range(11)]
        assert {exchange.outcome for exchange in exchanges} == {"ok"}
        # keepalive_requests 5: the fifth answer of each connection says close.
        fresh = [number for number, exchange in enumerate(exchanges) if not exchange.reused]
        assert fresh == [0, 5, 10]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [("/none", 204, b""), ("/gone", 410, b"gone"), ("/close", 200, b"bye")],
)
@both_loops
async def test_its_answers_are_read_whole(nginx: str, path: str, status: int, body: bytes) -> None:
    async with sending() as sender:
        for _ in range(3):
            exchange = await sender.send(call(f"{nginx}{path}"))
            assert (exchange.outcome, exchange.status_code, exchange.body) == ("ok", status, body)


@both_loops
async def test_chunked_and_large_bodies_and_no_compression_unasked(nginx: str) -> None:
    async with sending() as sender:
        page = await sender.send(call(f"{nginx}/zipped/page.html", "GET"))
        assert page.body == b"<p>page</p>"
        headers = {name.lower(): value for name, value in page.headers}
        assert headers["transfer-encoding"] == "chunked"
        assert "content-encoding" not in headers
        big = await sender.send(call(f"{nginx}/files/big", "GET"))
        assert (big.outcome, big.truncated, big.body) == ("ok", True, b"x" * 8192)


@both_loops
async def test_its_faults_are_outcomes(nginx: str) -> None:
    async with sending() as sender:
        dropped = await sender.send(call(f"{nginx}/drop"))
        assert dropped.outcome == "connect_error"
        too_big = await sender.send(call(f"{nginx}/ok", body=b"x" * 5000))
        assert (too_big.outcome, too_big.status_code) == ("ok", 413)
        bad = await sender.send(call(f"{nginx}/bad"))
        assert (bad.outcome, bad.status_code) == ("ok", 502)
        moved = await sender.send(call(f"{nginx}/away", redirects=1))
        assert (moved.status_code, moved.body) == (200, b"hello")
        behind = await sender.send(call(f"{nginx}/small", body=b"y" * 500))
        assert (behind.status_code, behind.body) == (200, b"hello")


@both_loops
async def test_a_thousand_calls_at_once_all_come_back(nginx: str) -> None:
    async with sending(connections_per_origin=50) as sender:
        one = call(f"{nginx}/ok", total_timeout=15.0, first_byte_timeout=15.0)
        exchanges = await asyncio.gather(*[sender.send(one) for _ in range(1000)])
        assert {(exchange.outcome, exchange.body) for exchange in exchanges} == {("ok", b"hello")}
