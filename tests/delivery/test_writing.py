"""From a connection that is free to a request that is written: what may come between the two."""

import asyncio
from functools import partial

import pytest

from receiver import receiving
from scheduler_svc.delivery.awaited import AwaitedCall
from scheduler_svc.delivery.connection import Connection
from scheduler_svc.delivery.exchange import Withheld
from scheduler_svc.delivery.origin import TOGETHER_MAX
from sending import both_loops, call, sending


@pytest.mark.parametrize("unasked", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", None])
@both_loops
async def test_a_kept_connection_that_ends_before_the_request_is_written_costs_a_call_nothing(
    unasked: bytes | None,
) -> None:
    """What it says then is no answer, and nothing of the request was sent: it goes elsewhere."""
    async with receiving() as receiver, sending() as sender:
        await sender.send(call(receiver.url()))
        (connection,) = sender._pool.idle
        sent = asyncio.create_task(sender.send(call(receiver.url("/second"))))
        # By the time the request is to be written, the loop has told the connection.
        tell = (connection.data_received, unasked) if unasked else (connection.close,)
        asyncio.get_running_loop().call_soon(*tell)
        exchange = await sent
        assert (exchange.outcome, exchange.status_code, exchange.reused) == ("ok", 200, False)
        assert [request.path for request in receiver.requests] == ["/", "/second"]
        assert receiver.connections == 2


@both_loops
async def test_whether_a_request_may_be_written_is_asked_in_the_moment_of_writing() -> None:
    async with receiving() as receiver, sending() as sender:
        await sender.send(call(receiver.url()))
        allowed = [True]
        asked = call(receiver.url(), may_write=lambda: bool(allowed))
        sent = asyncio.create_task(sender.send(asked))
        asyncio.get_running_loop().call_soon(allowed.clear)
        with pytest.raises(Withheld):
            await sent
        assert len(receiver.requests) == 1


@both_loops
async def test_of_a_call_that_is_cut_off_before_it_is_written_nothing_is_sent() -> None:
    async with receiving() as receiver, sending() as sender:
        await sender.send(call(receiver.url()))
        (connection,) = sender._pool.idle
        sent = asyncio.create_task(sender.send(call(receiver.url("/cut-off"))))

        def cut_off() -> None:
            assert connection.call is not None
            connection.abandon(connection.call)
            sent.cancel()

        asyncio.get_running_loop().call_soon(cut_off)
        await asyncio.wait([sent])
        assert (await sender.send(call(receiver.url("/after")))).outcome == "ok"
        assert [request.path for request in receiver.requests] == ["/", "/after"]


@both_loops
async def test_more_calls_at_once_than_are_written_in_one_go_are_all_written() -> None:
    async with receiving() as receiver, sending(connections_per_origin=64) as sender:
        for reused in (False, True):
            calls = [sender.send(call(receiver.url(f"/{n}"))) for n in range(2 * TOGETHER_MAX + 1)]
            exchanges = await asyncio.gather(*calls)
            assert {(one.outcome, one.reused) for one in exchanges} == {("ok", reused)}


@both_loops
async def test_a_call_that_is_cut_off_when_it_goes_elsewhere_leaves_no_slot_taken() -> None:
    async with receiving() as receiver, sending(connections_per_origin=1) as sender:
        await sender.send(call(receiver.url()))
        (connection,) = sender._pool.idle
        sent = asyncio.create_task(sender.send(call(receiver.url("/cut-off"))))

        def cut_off() -> None:
            connection.data_received(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            sent.cancel()

        asyncio.get_running_loop().call_soon(cut_off)
        await asyncio.wait([sent])
        assert (await sender.send(call(receiver.url("/after")))).outcome == "ok"


@both_loops
async def test_a_request_whose_writing_fails_keeps_no_other_from_being_written() -> None:
    def faulty() -> bool:
        raise ZeroDivisionError

    async with receiving() as receiver, sending() as sender:
        await asyncio.gather(*[sender.send(call(receiver.url())) for _ in range(2)])
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _fault: None)
        failing = call(receiver.url(), may_write=faulty, total_timeout=0.3)
        both = await asyncio.gather(sender.send(failing), sender.send(call(receiver.url())))
        assert [exchange.outcome for exchange in both] == ["timeout", "ok"]


@both_loops
async def test_a_peer_that_is_quick_to_go_does_not_end_a_call_that_may_not_be_made() -> None:
    """Nobody may say of a run whose lease has ended that it failed."""
    loop = asyncio.get_running_loop()
    async with sending() as sender:
        origin = sender.origin("anybody", loop)
        assert origin is not None
        for may, said in ((True, "connect_error"), (False, None)):
            request = call("http://127.0.0.1:9/", may_write=partial(bool, may))
            asked = AwaitedCall(request, b"", None, loop)
            assert origin.submit(asked)  # and what it dialled is lost before it is told
            Connection(loop, origin, 8192).start(asked)
            if said is None:
                with pytest.raises(Withheld):
                    await asked.future
            else:
                exchange = await asked.future
                assert exchange is not None
                assert exchange.outcome == said
