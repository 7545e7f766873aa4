"""Names to addresses: bounded, shared and briefly remembered.

The system's resolver blocks, sometimes for half a minute, and can not be cancelled: it runs in a
few threads of its own that nobody waits for, neither the loop nor the end of the process.
It judges no address; what it answers is judged as a whole before anything is dialled.
"""

import asyncio
import socket
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

# Blocking: a host name to its addresses as text, best first; OSError when there are none.
Resolver = Callable[[str], Sequence[str]]

THREADS_MAX = 32
REMEMBERED_MAX = 1024
FOUND_SECONDS = 2.0
MISSING_SECONDS = 1.0


def system_resolver(host: str) -> Sequence[str]:
    """Ask getaddrinfo, which knows the hosts file, the search list and the order of RFC 6724."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Directory:
    """Look-ups under way, shared by all who ask for the same name, and the latest answers."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._pending: dict[str, asyncio.Future[Sequence[str]]] = {}
        self._queue: deque[str] = deque()
        self._threads = 0
        self._answers: OrderedDict[str, tuple[float, Sequence[str] | OSError]] = OrderedDict()

    async def look_up(self, host: str) -> Sequence[str]:
        """Answer the addresses of a name, or raise OSError; the caller bounds the wait."""
        loop = asyncio.get_running_loop()
        known = self._answers.get(host)
        if known is not None and loop.time() < known[0]:
            if isinstance(known[1], OSError):
                raise OSError(*known[1].args)
            return known[1]
        pending = self._pending.get(host)
        if pending is None:
            pending = self._pending[host] = loop.create_future()
            self._queue.append(host)
            self._start_threads(loop)
        # Shielded: others may wait for the same answer.
        return await asyncio.shield(pending)

    def _start_threads(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._queue and self._threads < THREADS_MAX:
            self._threads += 1
            host = self._queue.popleft()
            thread = threading.Thread(
                target=self._ask, args=(loop, host), name=f"resolve {host}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as fault:  # the machine has no more: who asks later may have one
                loop.call_soon(self._settle, loop, host, OSError(str(fault)))

    def _ask(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        answer: Sequence[str] | OSError
        try:
            answer = self._resolver(host)
        except OSError as fault:
            answer = fault
        except ValueError as fault:  # such as a label that the codec of getaddrinfo does not take
            answer = OSError(str(fault))
        try:
            loop.call_soon_threadsafe(self._settle, loop, host, answer)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _settle(
        self, loop: asyncio.AbstractEventLoop, host: str, answer: Sequence[str] | OSError
    ) -> None:
        self._threads -= 1
        seconds = MISSING_SECONDS if isinstance(answer, OSError) else FOUND_SECONDS
        self._answers[host] = (loop.time() + seconds, answer)
        self._answers.move_to_end(host)
        if len(self._answers) > REMEMBERED_MAX:
            self._answers.popitem(last=False)
        future = self._pending.pop(host)
        if not future.done():
            if isinstance(answer, OSError):
                future.set_exception(answer)
                future.exception()  # seen: those who asked may all have gone
            else:
                future.set_result(answer)
        self._start_threads(loop)
