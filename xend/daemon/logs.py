"""The log: the original's lines, in a file that rotates, written by a thread of its own.

Nothing that writes to a disk may hold up the event loop, so records go through a queue.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import queue
import re
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Final

from xend.errors import ConfigError

MAX_BYTES: Final = 1024 * 1024
BACKUPS: Final = 5
TRACE: Final = 5
"""The original's level below DEBUG."""
LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

_FILE_FORMAT = "[%(asctime)s %(process)d] %(levelname)s (%(module)s:%(lineno)d) %(message)s"
_STDERR_FORMAT = "[xend] %(levelname)s (%(module)s:%(lineno)d) %(message)s"
_DATE_FORMAT = "%Y-%m-%d %H:%M:%S"

_PASSWORD = re.compile(
    r"""(vncpasswd ['"]? \s* (?: [,:=] \s* | \s+ )) (?: '[^']*' | "[^"]*" | [^\s'",)\]}]+ )""",
    re.VERBOSE,
)
_PRIORITIES: Final = {
    logging.CRITICAL: "<2>",
    logging.ERROR: "<3>",
    logging.WARNING: "<4>",
    logging.INFO: "<6>",
}


def without_passwords(text: str) -> str:
    """In SXP, in Python's and in JSON's spelling."""
    if "vncpasswd" not in text:
        return text
    return _PASSWORD.sub(r"\1XXXXXXXX", text)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))


class _JournalFormatter(_Formatter):
    """With the priority in front, sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        mark = _PRIORITIES.get(record.levelno, "<7>")
        return mark + super().format(record).replace("\n", f"\n{mark}")


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Configurations are in it: nobody but root and its group may read it."""

    def _open(self) -> TextIOWrapper:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(self.baseFilename, flags, 0o640)
        return os.fdopen(fd, "a", encoding="utf-8", errors="backslashreplace")


class Log:
    """All logging of the process, between `start` and `close`."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
        self._listener: logging.handlers.QueueListener | None = None
        self._handlers: list[logging.Handler] = []

    def start(self, file: Path | None, level: str, *, stderr: bool) -> None:
        """ConfigError when the file cannot be written."""
        logging.addLevelName(TRACE, "TRACE")
        if file is not None:
            self._handlers.append(_file_handler(file))
        if stderr:
            self._handlers.append(_stderr_handler())
        self._listener = logging.handlers.QueueListener(self._queue, *self._handlers)
        self._listener.start()
        root = logging.getLogger()
        root.handlers = [logging.handlers.QueueHandler(self._queue)]
        self.set_level(level)
        # Their INFO and DEBUG are about connections, not about domains.
        for noisy in ("asyncio", "uvicorn.error", "uvicorn.access"):
            logging.getLogger(noisy).setLevel(logging.WARNING)

    def set_level(self, level: str) -> None:
        logging.getLogger("xend").setLevel(level)
        logging.getLogger().setLevel(logging.INFO)

    def close(self) -> None:
        """Everything logged so far is written."""
        logging.getLogger().handlers = []
        if self._listener is not None:
            self._listener.stop()
            self._listener = None
        for handler in self._handlers:
            handler.close()
        self._handlers.clear()


def _file_handler(file: Path) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = _PrivateFile(file, maxBytes=MAX_BYTES, backupCount=BACKUPS)
    except OSError as error:
        raise ConfigError(
            f"cannot write the log file {file}: {error.strerror}. "
            "Name another with --log-file or in the option logfile",
            field="logfile",
            value=str(file),
        ) from error
    handler.setFormatter(_Formatter(_FILE_FORMAT, _DATE_FORMAT))
    return handler


def _stderr_handler() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    if os.environ.get("JOURNAL_STREAM"):
        handler.setFormatter(_JournalFormatter("%(levelname)s (%(module)s:%(lineno)d) %(message)s"))
    else:
        handler.setFormatter(_Formatter(_STDERR_FORMAT))
    return handler
