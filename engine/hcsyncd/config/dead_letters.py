"""Whose dead letters and tasks are, and by when they are to be settled."""

from __future__ import annotations

from hcsyncd.options import Options, option

DAY_SECS = 86_400.0


class DeadLetterOptions(Options):
    """Dead letters and unsure deliveries, where their channel or a person says nothing else."""

    owner: str = option("", "Who takes care of them: a team or a role, as it is to be shown.", example="interface team")
    due_secs: float = option(DAY_SECS, "After so long they are overdue.", unit="seconds", gt=0)


class TaskOptions(Options):
    """Codes that lookup tables do not know, and the deliveries that wait for them."""

    owner: str = option("", "Who enters mappings: a team or a role, as it is to be shown.", example="master data")
    due_secs: float = option(DAY_SECS, "After so long a task is overdue.", unit="seconds", gt=0)
