"""One operator's command at the daemon's end: what it takes, who may be watching, and what it answers.

A verb's arguments are a `Request`, read strictly from JSON: what it does not know is refused and not ignored. What it
answers is made of plain records, which `hcsyncd.runtime.control` puts into JSON.
"""

from __future__ import annotations

import pwd
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from hcsyncd.errors import ControlError
from hcsyncd.record import Record


class Access(StrEnum):
    """How far a command goes, and so whether it is kept in the audit log."""

    LOOKS = "looks"  # states, counts and lists: nobody need know later
    SEES = "sees"  # shows what messages say, and so a patient's data
    CHANGES = "changes"


class Caller(Record, frozen=True):
    """Who gave a command, by the kernel's word (SO_PEERCRED)."""

    user_id: int
    process_id: int = 0

    @property
    def name(self) -> str:
        """The user's login name; the number where the machine knows none."""
        try:
            return pwd.getpwuid(self.user_id).pw_name
        except KeyError:
            return str(self.user_id)


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The arguments of a verb. The base itself is for verbs without any."""


Form = TypeVar("Form", bound=Request)


@dataclass(frozen=True, slots=True)
class Verb(Generic[Form]):
    """One command. ``access`` may depend on what is asked: showing a message's facts looks, showing its bytes sees."""

    form: type[Form]
    run: Callable[[Form, Caller], Awaitable[Any]]
    access: Access | Callable[[Form], Access] = Access.LOOKS

    def read(self, args: Mapping[str, Any]) -> Form:
        """The arguments as they came over the wire. Raises ControlError, naming the one that is not right."""
        try:
            return msgspec.convert(args, self.form)
        except msgspec.ValidationError as error:
            raise ControlError(f"the command's arguments are not right: {error}") from error

    def access_of(self, asked: Form) -> Access:
        return self.access if isinstance(self.access, Access) else self.access(asked)


Verbs = Mapping[str, Verb[Any]]


class Auditor(Protocol):
    """Keeps who did what. Told of each command that sees or changes, before it is carried out."""

    async def note(self, caller: Caller, verb: str, access: Access, asked: Request) -> int:
        """The number of the entry. Fails with StoreError when it cannot be kept: the command is not carried out
        then."""
        ...

    async def note_failure(self, caller: Caller, verb: str, code: str, entry: int) -> None:
        """The command that was noted as ``entry`` could not be carried out."""
        ...
