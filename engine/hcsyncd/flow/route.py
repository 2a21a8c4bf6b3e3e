"""Which routes want a message, and which lane each delivery goes by: pure, so that a re-run gives the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from operator import attrgetter

from hcsyncd.config.model import Channel, Route
from hcsyncd.formats.format import Document
from hcsyncd.message import Keys, Message

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


Facts = Mapping[str, str]
Outer = Callable[[Keys, Facts], bool]
Inner = Callable[[Subject], bool]

PEEKED = frozenset(Keys.__struct_fields__)  # what a key of a ``when`` clause reads without looking into the body


def judge(wanted: str | list[str] | bool) -> Callable[[str], bool]:
    """The test of one value: a text, a pattern with ``*`` and ``?``, a list of these, or whether there is a value."""
    if isinstance(wanted, bool):
        return lambda value: bool(value) is wanted
    texts = [wanted] if isinstance(wanted, str) else wanted
    exact = frozenset(text for text in texts if not any(sign in text for sign in "*?["))
    patterns = [re.compile(translate(text)).match for text in texts if text not in exact]
    return lambda value: value in exact or any(match(value) for match in patterns)


@dataclass(frozen=True, slots=True)
class Way:
    """A route with its conditions made ready: those on what was peeked, and those that look into the body."""

    route: Route
    outer: tuple[Outer, ...]
    inner: tuple[Inner, ...]

    @classmethod
    def of(cls, route: Route) -> Way:
        outer: list[Outer] = []
        inner: list[Inner] = []
        for key, wanted in route.options.when.items():
            if key in PEEKED or key.startswith(WIRE_PREFIX):
                outer.append(_outer(key, judge(wanted)))
            else:
                inner.append(_inner(key, wanted, judge(wanted)))
        return cls(route, tuple(outer), tuple(inner))

    def may_want(self, keys: Keys, facts: Facts) -> bool:
        """Whether every condition on what was peeked holds."""
        for test in self.outer:  # noqa: SIM110 - asked for every message and route: a generator costs more than the tests
            if not test(keys, facts):
                return False
        return True


def _outer(key: str, holds: Callable[[str], bool]) -> Outer:
    if key in PEEKED:
        read = attrgetter(key)
        return lambda keys, _facts: holds(read(keys))
    fact = key[len(WIRE_PREFIX) :]
    return lambda _keys, facts: holds(facts.get(fact, ""))


def _inner(key: str, wanted: str | list[str] | bool, holds: Callable[[str], bool]) -> Inner:
    """A condition on the values at a path, of which any may hold; with False, none may be there."""
    if wanted is False:
        return lambda subject: not any(subject.document.all(key))
    return lambda subject: any(holds(value) for value in subject.document.all(key))


class Routes:
    """A generation's routes, ready to be asked."""

    def __init__(self, routes: Sequence[Route], channels: Mapping[str, Channel]) -> None:
        self._by_source: dict[str, list[Way]] = {}
        self._by_name = {route.name: route for route in routes}
        self._channels = channels
        for way in (Way.of(route) for route in routes if route.options.enabled):
            for source in way.route.options.source:
                self._by_source.setdefault(source, []).append(way)

    def may_want(self, channel: str, keys: Keys, facts: Facts) -> bool:
        """Whether any route may want a message of the channel, by what was peeked alone: False is certain."""
        return any(way.may_want(keys, facts) for way in self._by_source.get(channel, ()))

    def named(self, name: str) -> Route:
        """The route of that name; KeyError when this generation has none."""
        return self._by_name[name]

    def ways(self) -> dict[str, list[str]]:
        """The routes in service, each with its destinations."""
        return {name: route.options.to for name, route in self._by_name.items() if route.options.enabled}

    def matching(self, subject: Subject) -> list[Route]:
        """The routes that want the message, in the order of routes.yaml. Raises FormatError when a route must look
        inside a body that cannot be parsed."""
        message = subject.message
        only = message.only_route
        return [
            way.route
            for way in self._by_source.get(message.channel, ())
            if (not only or way.route.name == only)
            and way.may_want(message.keys, message.facts)
            and all(test(subject) for test in way.inner)
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
