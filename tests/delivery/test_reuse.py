"""Kept connections: when one is used again, when it is not, and that nothing is ever sent twice."""

import asyncio
import threading

import pytest

from receiver import Wire, answer, held, in_turn, raw, receiving
from scheduler_svc.delivery.exchange import Exchange
from sending import LOOPBACK, both_loops, call, sending

HINTED = "HTTP/1.1 200 OK\r\nKeep-Alive: {}\r\nContent-Length: 0\r\n\r\n"


@both_loops
async def test_calls_in_turn_share_one_connection() -> None:
    async with receiving() as receiver, sending() as sender:
        exchanges = [await sender.send(call(receiver.url(f"/{n}"))) for n in range(5)]
        assert [exchange.reused for exchange in exchanges] == [False, True, True, True, True]
        assert receiver.connections == 1
        assert exchanges[0].timing.connect_ms is not None
        assert exchanges[1].timing.connect_ms is None
        assert exchanges[1].timing.first_byte_ms is not None


@both_loops
async def test_head_responses_keep_their_connection_and_have_no_body() -> None:
    async with receiving() as receiver, sending() as sender:
        url = receiver.on("/x", raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"))
        for reused in (False, True, True):
            exchange = await sender.send(call(url, "HEAD"))
            assert (exchange.outcome, exchange.body, exchange.reused) == ("ok", b"", reused)
        assert (await sender.send(call(receiver.url("/good")))).body == b"ok"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
@both_loops
async def test_a_body_after_head_spoils_the_connection_only(response: bytes) -> None:
    async with receiving() as receiver, sending() as sender:
        exchange = await sender.send(call(receiver.on("/x", raw(response)), "HEAD"))
        assert (exchange.outcome, exchange.status_code, exchange.body) == ("ok", 200, b"")
        after = await sender.send(call(receiver.url("/good")))
        assert (after.outcome, after.body, after.reused) == ("ok", b"ok", False)


@both_loops
async def test_other_partitions_and_origins_get_connections_of_their_own() -> None:
    async with receiving() as receiver, sending() as sender:
        await sender.send(call(receiver.url(), partition="a"))
        assert not (await sender.send(call(receiver.url(), partition="b"))).reused
        assert not (await sender.send(call(f"http://localhost:{receiver.port}/"))).reused
        assert (await sender.send(call(receiver.url(), partition="a"))).reused


@both_loops
async def test_a_connection_closed_while_idle_is_not_used_again() -> None:
    async with receiving() as receiver, sending() as sender:
        await sender.send(call(receiver.url()))
        receiver.cut()
        await _idle_gone(sender)
        exchange = await sender.send(call(receiver.url()))
        assert (exchange.outcome, exchange.reused) == ("ok", False)


@both_loops
async def test_octets_nobody_asked_for_end_an_idle_connection() -> None:
    async with receiving() as receiver, sending() as sender:
        later = asyncio.Event()

        async def behave(wire: Wire, _: object) -> None:
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            await later.wait()
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")

        await sender.send(call(receiver.on("/x", behave)))
        later.set()
        await _idle_gone(sender)
        exchange = await sender.send(call(receiver.url("/good")))
        assert (exchange.body, exchange.reused) == (b"ok", False)


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@both_loops
async def test_a_kept_connection_that_closes_under_a_call_fails_it_and_sends_nothing_again(
    method: str,
) -> None:
    async with receiving() as receiver, sending() as sender:
        url = receiver.on("/x", in_turn(answer(), raw(b"", then_close=True)))
        assert (await sender.send(call(url, method))).outcome == "ok"
        exchange = await sender.send(call(url, method))
        assert (exchange.outcome, exchange.reused) == ("connect_error", True)
        assert len(receiver.requests) == 2


@pytest.mark.parametrize(
    ("hint", "kept"),
    [("timeout=1", False), ("timeout=5, max=100", True), ("max=3", True), ("x", True)],
)
@both_loops
async def test_the_hint_of_the_server_is_obeyed_with_a_margin(hint: str, *, kept: bool) -> None:
    async with receiving() as receiver, sending() as sender:
        url = receiver.on("/x", raw(HINTED.format(hint).encode()))
        await sender.send(call(url))
        assert (await sender.send(call(url))).reused is kept


@both_loops
async def test_an_idle_connection_is_retired_by_its_time() -> None:
    async with receiving() as receiver, sending(keepalive_seconds=0.05) as sender:
        await sender.send(call(receiver.url()))
        await _idle_gone(sender)
        assert not (await sender.send(call(receiver.url()))).reused
    async with receiving() as receiver, sending(keepalive_seconds=0) as sender:
        await sender.send(call(receiver.url()))
        assert not (await sender.send(call(receiver.url()))).reused


@both_loops
async def test_no_more_connections_wait_idle_than_allowed_and_the_oldest_goes_first() -> None:
    async with receiving() as receiver, sending(idle_max=2) as sender:
        for partition in "abc":
            await sender.send(call(receiver.url(), partition=partition))
        assert (await sender.send(call(receiver.url(), partition="c"))).reused
        assert (await sender.send(call(receiver.url(), partition="b"))).reused
        assert not (await sender.send(call(receiver.url(), partition="a"))).reused


@both_loops
async def test_an_answer_before_the_whole_request_was_taken_ends_the_connection() -> None:
    async with receiving() as receiver, sending() as sender:

        async def hasty(wire: Wire, _: object) -> None:
            await wire.send(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
            await asyncio.Event().wait()

        receiver.early.add("/x")
        url = receiver.on("/x", hasty)
        exchange = await sender.send(call(url, body=b"x" * (16 << 20)))
        assert (exchange.outcome, exchange.status_code) == ("ok", 413)
        assert not (await sender.send(call(receiver.url("/good")))).reused


@pytest.mark.parametrize("slots", [1, 3])
@both_loops
async def test_slots_of_an_origin_are_bounded_and_given_first_come_first_served(slots: int) -> None:
    async with receiving() as receiver, sending(connections_per_origin=slots) as sender:
        gate = asyncio.Event()
        receiver.default = held(gate, answer())
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(sender.send(call(receiver.url(f"/{n}")))) for n in range(9)]
            await receiver.wait_for(slots)
            assert receiver.connections == slots
            gate.set()
        assert all(one.result().outcome == "ok" for one in calls)
        assert receiver.connections == slots
        order = [int(one.path[1:]) for one in receiver.requests]
        # Calls open at once may overtake each other on the way, never those that still waited.
        assert all(abs(came - asked) < slots for asked, came in enumerate(order))


@both_loops
async def test_a_slot_whose_connection_ended_is_dialled_anew_for_who_waits() -> None:
    async with receiving() as receiver, sending(connections_per_origin=1) as sender:
        receiver.default = raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", then_close=True)
        exchanges = await asyncio.gather(*[sender.send(call(receiver.url())) for _ in range(5)])
        assert [exchange.outcome for exchange in exchanges] == ["ok"] * 5
        assert receiver.connections == 5


@both_loops
async def test_waiting_for_a_slot_counts_in_the_total_time() -> None:
    async with receiving() as receiver, sending(connections_per_origin=1) as sender:
        receiver.default = held(asyncio.Event(), answer())
        async with asyncio.TaskGroup() as group:
            first = group.create_task(sender.send(call(receiver.url(), total_timeout=0.4)))
            await receiver.wait_for(1)
            waits = await sender.send(call(receiver.url(), total_timeout=0.1))
        assert (waits.outcome, waits.error) == ("timeout", "no connection came free in time")
        assert 90 < waits.duration_ms < 350
        assert first.result().outcome == "timeout"
        receiver.default = answer()
        assert (await sender.send(call(receiver.url()))).outcome == "ok"


@both_loops
async def test_a_cancelled_call_closes_its_connection_and_frees_its_slot() -> None:
    async with receiving() as receiver, sending(connections_per_origin=1) as sender:
        gate = asyncio.Event()
        receiver.on("/held", held(gate, answer()))
        running = asyncio.ensure_future(sender.send(call(receiver.url("/held"))))
        await receiver.wait_for(1)
        waiting = [asyncio.ensure_future(sender.send(call(receiver.url()))) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        running.cancel()
        ended = await asyncio.gather(running, *waiting, return_exceptions=True)
        assert [type(one) for one in ended[:2]] == [asyncio.CancelledError] * 2
        assert [one.outcome for one in ended[2:] if isinstance(one, Exchange)] == ["ok", "ok"]
        assert receiver.connections == 2


@both_loops
async def test_calls_cancelled_at_any_step_leave_no_slot_taken() -> None:
    async with receiving() as receiver, sending(connections_per_origin=2) as sender:
        for steps in range(40):
            tasks = [asyncio.ensure_future(sender.send(call(receiver.url()))) for _ in range(4)]
            for _ in range(steps):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        exchanges = await asyncio.gather(*[sender.send(call(receiver.url())) for _ in range(6)])
        assert {exchange.outcome for exchange in exchanges} == {"ok"}


@both_loops
async def test_closing_the_sender_fails_what_is_under_way() -> None:
    async with receiving() as receiver:
        receiver.default = held(asyncio.Event(), answer())
        async with sending(connections_per_origin=1, egress=LOOPBACK) as sender:
            running = asyncio.ensure_future(sender.send(call(receiver.url())))
            await receiver.wait_for(1)
            waiting = asyncio.ensure_future(sender.send(call(receiver.url())))
            await asyncio.sleep(0)
            await sender.close()
            for exchange in await asyncio.gather(running, waiting):
                assert exchange.outcome == "connect_error"
            assert (await sender.send(call(receiver.url()))).outcome == "connect_error"


@both_loops
async def test_a_connection_dialled_while_the_sender_closes_carries_nothing() -> None:
    gate = threading.Event()

    def resolver(_: str) -> list[str]:
        gate.wait(5)
        return ["127.0.0.1"]

    async with receiving() as receiver, sending(resolver=resolver) as sender:
        url = f"http://localhost:{receiver.port}/"
        dialling = asyncio.ensure_future(sender.send(call(url)))
        await asyncio.sleep(0)
        await sender.close()
        gate.set()
        exchange = await dialling
        assert (exchange.outcome, exchange.error) == ("connect_error", "the sender is closed")
        assert receiver.requests == []


async def _idle_gone(sender: object) -> None:
    """Wait until the sender noticed that it holds no connection any more."""
    pool = sender._pool  # type: ignore[attr-defined]
    await pool.emptied.wait()
