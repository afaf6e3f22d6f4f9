"""How a command ends: an exit code, and one line about what went wrong."""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from sluice.pipelines.terminal.printing import one_line, printable
from sluice.pipelines.terminal.standard_streams import flush_stderr, to_stderr

log = logging.getLogger("sluice")
# Workers on this machine, and stores, log the traceback of an error that ends the command in a line of its own.
TOLD_AGAIN = (
    "apache_beam.runners.common",
    "apache_beam.runners.direct",
    "apache_beam.runners.portability.local_job_service",
    "apache_beam.runners.worker",
    "gcsfs",
)


def exit_code(work: Callable[[], int], *, verbose: bool = False, resumes: bool = True) -> int:
    """What `work` returns; of an error one line on stderr, and 1 where it failed, 2 where it was asked for wrongly.

    verbose: a line for each unit also on a terminal, and the traceback of what failed in a stage. resumes: the same
    command goes on where it was stopped.
    """
    if threading.current_thread() is threading.main_thread():
        # Schedulers stop a task so: temporary files go, and the run's status says that it was stopped.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    handler = logging.StreamHandler(sys.stderr)
    if not verbose:
        handler.addFilter(is_news)
    handler.setFormatter(Harmless())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    # On a terminal there is a progress line; elsewhere each unit leaves one in the log.
    log.setLevel(logging.DEBUG if verbose else logging.WARNING if sys.stderr.isatty() else logging.INFO)
    try:
        return work()
    except (ValueError, FileNotFoundError, FileExistsError) as error:
        to_stderr(one_line(f"sluice: {error}"))
        return 2
    except (RuntimeError, OSError) as error:
        to_stderr(one_line(f"sluice: {error}"))
        return 1
    except KeyboardInterrupt:
        to_stderr(f"sluice: stopped{'; the same command goes on from here' if resumes else ''}")
        return 130
    finally:
        flush_stderr()


class Harmless(logging.Formatter):
    """Log records whose texts, from files and stores, change nothing but where they stand; messages are one line."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))

    def formatException(self, exc_info: Any) -> str:
        return printable(super().formatException(exc_info), lines=True)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a log record is more than the traceback of an error that the command's last line tells."""
    if not record.name.startswith(TOLD_AGAIN):
        return True
    return not record.exc_info and "Traceback (most recent call last)" not in record.getMessage()
