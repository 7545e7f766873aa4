"""What ties one of several replicas to the process that started them: a socket held by both.

Promises the starter a sign when its replica serves, and the replica a stop when its starter is gone
by whatever means: the kernel closes the other end even after kill -9.
"""

import asyncio
import socket

SERVING = b"s"


class Lifeline:
    """The replica's end; the number is that of the inherited file descriptor."""

    def __init__(self, number: int) -> None:
        self._end = socket.socket(fileno=number)
        self._end.settimeout(0)
        self._end.set_inheritable(False)

    def say_serving(self) -> None:
        self._end.send(SERVING)

    def on_end(self, stop: asyncio.Event) -> None:
        """Set the event once the starter is gone; it never writes, so readable means closed."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self._end)
            stop.set()

        loop.add_reader(self._end, ended)
