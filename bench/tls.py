"""The burst against a receiver with TLS beside the same without: calls a second, cost, connections.

    python bench/tls.py [--jobs N] [--rounds N]

nginx answers both, in one process, with a certificate made for this, which the replica trusts by
SCHEDULER_CA_FILE, and says that it keeps connections, so that a round may use those of the one
before. Rounds with and without TLS take turns on one
database with one replica; of each the connections that nginx accepted are counted.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import trustme

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bench._ground import Ground, a_database, durable
from bench.burst import FIELDS, WARM, Round, burst

from commands import free_port
from fleet import database, replica

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000; keepalive_timeout 600s 60s;
    ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/key.pem;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {{ listen 127.0.0.1:{tls} ssl backlog=4096; location / {{ return 200 "ok"; }} }}
    server {{ listen 127.0.0.1:{plain} backlog=4096; location / {{ return 200 "ok"; }} }}
    server {{ listen 127.0.0.1:{status}; location / {{ stub_status; }} }}
}}
"""


@dataclass(frozen=True)
class Front:
    """An nginx that runs: an address with TLS, one without, its status, and whom to trust."""

    tls: str
    plain: str
    status: str
    authority: str

    def accepted(self) -> int:
        """Return how many connections it has taken so far, that of this question included."""
        with urllib.request.urlopen(self.status) as answer:
            return int(answer.read().split(b"\n")[2].split()[0])


@contextmanager
def front() -> Iterator[Front]:
    """Run an nginx that answers every request with 200."""
    assert NGINX is not None, "this benchmark needs nginx"
    tls, plain, status = free_port(), free_port(), free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        authority = trustme.CA()
        leaf = authority.issue_cert("127.0.0.1")
        leaf.private_key_pem.write_to_path(folder / "key.pem")
        for pem in leaf.cert_chain_pems:
            pem.write_to_path(folder / "chain.pem", append=True)
        authority.cert_pem.write_to_path(folder / "authority.pem")
        text = CONFIGURATION.format(folder=folder, tls=tls, plain=plain, status=status)
        (folder / "nginx.conf").write_text(text)
        with subprocess.Popen([NGINX, "-p", name, "-c", str(folder / "nginx.conf")]) as running:
            try:
                yield Front(
                    f"https://127.0.0.1:{tls}/call",
                    f"http://127.0.0.1:{plain}/call",
                    f"http://127.0.0.1:{status}/",
                    str(folder / "authority.pem"),
                )
            finally:
                running.terminate()


async def measure(ground: Ground, nginx: Front, asked: argparse.Namespace) -> None:
    """Run rounds with and without in turn, and print the medians."""
    rounds: dict[str, list[Round]] = {"TLS": [], "plain": []}
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(a_database(ground))
        conn = await stack.enter_async_context(database(dsn))
        fleet = [await stack.enter_async_context(replica(dsn, ca_file=nginx.authority))]
        for url in (nginx.tls, nginx.plain):
            await burst(ground, conn, fleet, url, WARM)
        for _ in range(asked.rounds):
            for kind, url in (("TLS", nginx.tls), ("plain", nginx.plain)):
                before = nginx.accepted()
                rounds[kind].append(await burst(ground, conn, fleet, url, asked.jobs))
                opened = nginx.accepted() - before - 1
                print(f"{kind:5} {rounds[kind][-1]}   {opened:,} connections", flush=True)
    for kind, found in rounds.items():
        middle = Round(*(median(getattr(each, name) for each in found) for name in FIELDS))
        print(f"{kind:5} medians of {len(found)}: {middle}")


def main() -> None:
    """Measure once."""
    given = argparse.ArgumentParser(description="a burst of calls over TLS")
    given.add_argument("--jobs", type=int, default=10_000)
    given.add_argument("--rounds", type=int, default=3)
    asked = given.parse_args()
    with durable() as ground, front() as nginx:
        asyncio.run(measure(ground, nginx, asked))


if __name__ == "__main__":
    main()
