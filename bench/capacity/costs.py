"""What one of everything costs, as measured by `measure.py` and read by the simulation."""

from pathlib import Path

import msgspec

from bench.machine import Machine

FILE = Path(__file__).with_name("costs.json")


class OnSqlite(msgspec.Struct, frozen=True):
    """One process with SQLite; ten live sessions hear each message."""

    sends_per_second_1: int
    sends_per_second_32: int
    send_cpu_us_1: int
    send_cpu_us_32: int
    flow_cpu_us: int
    """Of a message through a flow of one HTTP processor, with its callback."""
    list_cpu_us: int
    """Of a ListChannelMessages of 50."""


class OnPostgres(msgspec.Struct, frozen=True):
    """Nodes on PostgreSQL and NATS. CPU times in microseconds, sizes in bytes, of messages with 300 characters."""

    sends_per_second_spread: int
    """32 senders in 32 channels, one node on one core; PostgreSQL, NATS and the load generator on the other."""
    sends_per_second_hot: int
    """32 senders in one channel: its writers follow one another."""
    send_node_us: int
    """CPU time of the node that takes a send, telling the others included; nobody listens, 32 are under way."""
    send_node_alone_us: int
    """The same when each comes by itself."""
    send_db_us: int
    """CPU time of PostgreSQL's processes, 32 under way."""
    send_db_alone_us: int
    """The same when each comes by itself."""
    send_p50_ms: float
    """From a send to its answer, when each comes by itself."""
    send_p99_ms: float
    wal_bytes: int
    """Of a send, without full pages after a checkpoint."""
    message_bytes: int
    """Of a message that is kept, indexes included."""
    journal_bytes: int
    """Of its journal entry, which is kept for ten minutes."""
    answer_bytes: int
    """Of its answer for the client request token, which is kept for a day."""
    heard_us: int
    """CPU time of another node for a message that nobody there follows, when others wait with it."""
    heard_alone_us: int
    """The same when each comes by itself, and wakes the node up."""
    socket_us: float
    """CPU time for each session that a message is written to: the slope between few and many of them."""
    frame_bytes: int
    """Of a message to a session."""
    nats_bytes: int
    """Of a message between nodes."""
    nats_in_us: float
    """CPU time of the NATS server for a message that comes in, in a stream."""
    nats_out_us: float
    """And for each node that it goes out to."""
    flow_nodes_us: int
    """What a flow of one HTTP processor adds to a message, all nodes together."""
    flow_db_us: int
    flow_wal_bytes: int
    session_kib: float
    """Of an idle session, without the kernel's share."""
    open_us: int
    """CPU time of the node for a session that opens, in one channel."""
    open_channel_us: float
    """And for each channel more that it follows."""
    list_node_us: int
    list_db_us: int
    swept_per_second: int
    """Old rows of one table that the nodes remove in a second."""
    poll_topic_node_us: float
    """For each topic that a node looks after, every five seconds, in case a notification was lost."""
    poll_topic_db_us: float
    idle_us_per_second: int
    """CPU time of a node that has nothing to do."""


class Costs(msgspec.Struct, frozen=True):
    """A run of `python -m bench capacity measure`."""

    taken_on: str
    commit: str
    machine: Machine
    sqlite: OnSqlite
    postgres: OnPostgres


def read(file: Path = FILE) -> Costs:
    """What was measured last, and kept."""
    return msgspec.json.decode(file.read_bytes(), type=Costs)
