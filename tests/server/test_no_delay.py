import socket

from .conftest import Run
from .harness import running


def test_answers_in_pieces_do_not_wait_for_acknowledgements(run: Run) -> None:
    async def scenario() -> None:
        async with running() as world:
            peer = await world.peer()
            peer.writer.write(b"GET /x HTTP/1.1\r\n\r\n")
            await peer.reader.readuntil(b"\r\n\r\n")

            (connection,) = world.front._shared.connections
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    run(scenario())
