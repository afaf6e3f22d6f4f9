"""Names of processes that others on the same machine can check: does the writer of a file still live?"""

import hashlib
import os
import platform
from pathlib import Path


def this_process() -> str:
    """The name of this process, as `5f0c21ab-4711-982233`: machine, number, and when it was begun."""
    return f"{_machine()}-{os.getpid()}-{_begun(os.getpid())}"


def lives(name: str) -> bool | None:
    """Whether the process of that name is there; None where it cannot be told: it is another machine's.

    A machine that was restarted, and each container, is another one.
    """
    machine, _, rest = name.partition("-")
    number, _, begun = rest.partition("-")
    if machine != _machine() or not number.isdigit():
        return None
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    # Numbers are given again.
    return _begun(int(number)) == begun


def _machine() -> str:
    """8 hex digits for this host, since it was started, and the processes that are seen from this one."""
    parts = [platform.node()]
    try:
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        pass  # no Linux: a process of the same number counts as alive, whatever was restarted
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=4).hexdigest()


def _begun(number: int) -> str:
    """When a process was begun, in ticks since the system was; a zombie is `gone`. 0 where it is not told."""
    try:
        # The second field, a name in brackets, may hold anything.
        fields = Path(f"/proc/{number}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return "0"
    return "gone" if fields[0] in (b"Z", b"X") else fields[19].decode()
