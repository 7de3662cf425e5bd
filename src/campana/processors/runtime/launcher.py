"""Becomes a worker's program, after tying its life to the server's and setting its limits.

Run as `python -I -S launcher.py SERVER_PID DATA_MB COMMAND...`; standard library only, as it runs in the worker.
`DATA_MB` bounds the memory a process can write to (RLIMIT_DATA, which unlike RLIMIT_AS does not count what is
merely reserved); 0 is no bound.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(server_pid: int, data_mb: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != server_pid:  # it died before the line above: nobody would tell us any more
            sys.exit("The server is gone.")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if data_mb:
        limit = data_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
