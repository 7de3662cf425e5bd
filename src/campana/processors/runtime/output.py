"""What a worker prints, as lines: standard output and error through one pipe, so that their order is kept.

A worker may print without end, without line ends and in no encoding; all is bounded and nothing is passed on raw.
"""

import asyncio
import codecs
import os
import re
from collections import deque
from collections.abc import Callable

LINE_CHARACTERS_MAX = 8_192  # longer ones come in pieces
OUTPUT_CHARACTERS_MAX = 1_048_576  # an invocation; what exceeds it is left out
DRAIN_BYTES_MAX = 4_194_304
TAIL_LINES = 30
READ_BYTES = 65_536

# What a terminal would obey is shown instead.
SHOWN = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) != "\t"}
# awslambdaric writes a traceback as one line: indented by no-break spaces, its lines ended by carriage returns.
SHOWN[0xA0] = " "
LINE_END = re.compile(r"[\r\n]")


class Output:
    """The reading end of a worker's output. `emit(request_id, line)` gets every line."""

    def __init__(self, emit: Callable[[str | None, str], None]) -> None:
        self._emit = emit
        self._loop = asyncio.get_running_loop()
        self._read_fd, self.write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self._loop.add_reader(self._read_fd, self._readable)
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._partial = ""
        self._request_id: str | None = None
        self._left = OUTPUT_CHARACTERS_MAX
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    @property
    def tail(self) -> str:
        """The last lines since the invocation began."""
        return "\n".join(self._tail)

    def begin(self, request_id: str | None) -> None:
        """From here on lines belong to this invocation, or to none."""
        self.drain()
        self._request_id = request_id
        self._left = OUTPUT_CHARACTERS_MAX
        if request_id:
            self._tail.clear()

    def drain(self) -> None:
        """Take in what is in the pipe by now: output printed before an answer then counts as before it."""
        taken = 0
        while taken < DRAIN_BYTES_MAX and (count := self._readable()):
            taken += count
        self._take(self._decoder.decode(b"", final=True) + "\n")

    def written(self) -> None:
        """The worker has the writing end now: without ours, the pipe ends with it."""
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def close(self) -> None:
        self.written()
        if self._read_fd >= 0:
            self.drain()
            self._loop.remove_reader(self._read_fd)
            os.close(self._read_fd)
            self._read_fd = -1

    def _readable(self) -> int:
        if self._read_fd < 0:
            return 0
        try:
            data = os.read(self._read_fd, READ_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._loop.remove_reader(self._read_fd)
        self._take(self._decoder.decode(data))
        return len(data)

    def _take(self, text: str) -> None:
        *lines, self._partial = LINE_END.split(self._partial + text)
        while len(self._partial) > LINE_CHARACTERS_MAX:
            lines.append(self._partial[:LINE_CHARACTERS_MAX])
            self._partial = self._partial[LINE_CHARACTERS_MAX:]
        for line in lines:
            for start in range(0, len(line), LINE_CHARACTERS_MAX):
                self._line(line[start : start + LINE_CHARACTERS_MAX].translate(SHOWN))

    def _line(self, line: str) -> None:
        if not line.strip():
            return
        self._tail.append(line)
        if self._left > 0:
            self._left -= len(line)
            self._emit(self._request_id, line if self._left > 0 else "… more output is left out.")
