"""Notices from the system that a folder changed. They only shorten the wait for the next scan: one that is lost, as
when the system's queue overflows, costs no file."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from watchdog.events import FileClosedEvent, FileCreatedEvent, FileMovedEvent, FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver


class FolderWatch:
    """Calls ``notice`` from a thread of its own whenever a file came or was closed."""

    def __init__(self, folder: Path, notice: Callable[[], None]) -> None:
        self._folder = folder
        self._notice = notice
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Raises OSError when the system gives no notices, or no more of them."""
        # watchdog logs lost notices and its own end as errors; here neither means anything.
        logging.getLogger("watchdog").setLevel(logging.CRITICAL)
        observer = Observer()
        handler = _Handler(self._notice)
        events: list[type[FileSystemEvent]] = [FileCreatedEvent, FileClosedEvent, FileMovedEvent]
        observer.schedule(handler, str(self._folder), recursive=False, event_filter=events)
        observer.start()
        self._observer = observer

    def stop(self) -> None:
        """Safe to call twice."""
        observer, self._observer = self._observer, None
        if observer is not None:
            observer.stop()
            observer.join()


class _Handler(FileSystemEventHandler):
    def __init__(self, notice: Callable[[], None]) -> None:
        self._notice = notice

    def on_any_event(self, _event: FileSystemEvent) -> None:
        self._notice()
