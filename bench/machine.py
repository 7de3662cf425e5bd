"""What the figures were taken on, and which cores they were taken with."""

import os
import platform
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import perf_counter

import msgspec

FSYNC_SECONDS = 0.5
IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
ROOT = Path(__file__).resolve().parent.parent
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
"""Those this run may use: the first is the servers', the second the load generator's. Taken before pinning."""


class Machine(msgspec.Struct, frozen=True):
    """Facts that absolute figures depend on. No names of hosts or folders."""

    cpu: str
    cores: int
    pinned: bool
    memory_gib: float
    system: str
    python: str
    sqlite: str
    filesystem: str
    fdatasyncs_per_second: int
    load_before: float
    """Load average of the last minute; other work makes all figures worse, ratios less so."""


def facts(folder: Path) -> Machine:
    """About this machine, and the disk that `folder` is on."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        pinned=len(CORES) > 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {'.'.join(platform.release().split('.')[:2])}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        sqlite=sqlite3.sqlite_version,
        filesystem=filesystem(folder),
        fdatasyncs_per_second=_fdatasyncs_per_second(folder),
        load_before=round(os.getloadavg()[0], 1),
    )


def filesystem(folder: Path) -> str:
    """Its type, as in ext4; "" if unknown."""
    best, kind = "", ""
    try:
        mounts = Path("/proc/self/mounts").read_text("utf-8").splitlines()
    except OSError:
        return ""
    for line in mounts:
        _, place, type, *_ = line.split()
        if folder.resolve().is_relative_to(place) and len(place) >= len(best):
            best, kind = place, type
    return kind


def resident_kib(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise OSError(f"no VmRSS for process {pid}")


def cpu_ns(pid: int) -> int:
    """CPU time that a process has had so far, all its threads together. One that ends takes its share along."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):
            total += int((task / "schedstat").read_text("ascii").split()[0])
    return total


def bytes_read(pid: int) -> int:
    """By its system calls so far, from files (whether on disk or in the kernel's cache) and sockets."""
    return int(Path(f"/proc/{pid}/io").read_text("ascii").split()[1])


def commit() -> str:
    """The commit checked out, with a "+" if files differ from it; "" outside of git."""
    try:
        rev = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--", "src"], cwd=ROOT, capture_output=True, text=True
        )
    except OSError:
        return ""
    return rev.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _fdatasyncs_per_second(folder: Path) -> int:
    """Appends of 4 KiB, each flushed."""
    sync = getattr(os, "fdatasync", os.fsync)
    file = folder / "fsync"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        count, begun = 0, perf_counter()
        while (passed := perf_counter() - begun) < FSYNC_SECONDS:
            os.write(descriptor, bytes(4096))
            sync(descriptor)
            count += 1
    finally:
        os.close(descriptor)
        file.unlink()
    return round(count / passed)


assert sys.platform != "win32", "bench needs a POSIX system"
