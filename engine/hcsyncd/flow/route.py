"""Which routes want a message, and which lane each delivery goes by: pure, so that a re-run gives the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate

from hcsyncd.config.model import Channel, Route
from hcsyncd.formats.format import Document
from hcsyncd.message import Message

WIRE_PREFIX = "wire."


class Subject:
    """A message under the eyes of the routes. It is parsed at most once, and only when a route looks inside."""

    __slots__ = ("_document", "_parse", "message")

    def __init__(self, message: Message, parse: Callable[[bytes], Document]) -> None:
        self.message = message
        self._parse = parse
        self._document: Document | None = None

    @property
    def document(self) -> Document:
        """The parsed body; FormatError when it cannot be parsed."""
        if self._document is None:
            self._document = self._parse(self.message.body)
        return self._document

    def values(self, key: str) -> list[str]:
        """What the message says for a key of a ``when`` clause."""
        keys = self.message.keys
        match key:
            case "type":
                return [keys.type]
            case "sender":
                return [keys.sender]
            case "receiver":
                return [keys.receiver]
            case "control_id":
                return [keys.control_id]
        if key.startswith(WIRE_PREFIX):
            return [self.message.facts.get(key[len(WIRE_PREFIX) :], "")]
        return self.document.all(key)


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a ``when`` clause."""

    key: str
    wanted: str | list[str] | bool

    def compiled(self) -> Callable[[Subject], bool]:
        """The test, with its patterns made ready once a generation."""
        key = self.key
        if isinstance(self.wanted, bool):
            present = self.wanted
            return lambda subject: any(subject.values(key)) is present
        wanted = [self.wanted] if isinstance(self.wanted, str) else self.wanted
        exact = frozenset(text for text in wanted if not _is_pattern(text))
        patterns = [re.compile(translate(text)) for text in wanted if _is_pattern(text)]

        def test(subject: Subject) -> bool:
            values = subject.values(key)
            return any(value in exact for value in values) or any(
                pattern.match(value) for pattern in patterns for value in values
            )

        return test


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


class Routes:
    """A generation's routes, ready to be asked."""

    def __init__(self, routes: Sequence[Route], channels: Mapping[str, Channel]) -> None:
        self._by_source: dict[str, list[tuple[Route, list[Callable[[Subject], bool]]]]] = {}
        self._by_name = {route.name: route for route in routes}
        self._channels = channels
        for route in routes:
            if not route.options.enabled:
                continue
            tests = [Condition(key, wanted).compiled() for key, wanted in route.options.when.items()]
            for source in route.options.source:
                self._by_source.setdefault(source, []).append((route, tests))

    def named(self, name: str) -> Route:
        """The route of that name; KeyError when this generation has none."""
        return self._by_name[name]

    def matching(self, subject: Subject) -> list[Route]:
        """The routes that want the message, in the order of routes.yaml. Raises FormatError when a route must look
        inside a body that cannot be parsed."""
        only = subject.message.only_route
        return [
            route
            for route, tests in self._by_source.get(subject.message.channel, ())
            if (not only or route.name == only) and all(test(subject) for test in tests)
        ]

    def destinations(self, route: Route, message: Message) -> list[str]:
        """Where the route sends this message: a replay may be narrowed to one destination."""
        if message.only_destination:
            return [name for name in route.options.to if name == message.only_destination]
        return route.options.to

    def lane(self, route: Route, destination: str, subject: Subject) -> str:
        """The lane of a delivery: the value at the route's lane path, else at the destination channel's; "" is the
        whole destination. Raises FormatError as `matching` does."""
        path = route.options.lane
        if path is None:
            channel = self._channels.get(destination)
            path = channel.options.lane if channel else ""
        return (subject.document.get(path) or "") if path else ""
