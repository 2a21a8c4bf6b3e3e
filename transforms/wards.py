"""Ward lists: what a ward clerk needs to know of a movement, as one line of a spreadsheet."""

from collections.abc import Iterator

from hcsyncd import Context, Drop, Hl7Document, Out, transform

from .moment import iso
from .place import place

HEADER = "ward;room;bed;visit;movement;time"
ARRIVES = "arrives"
LEAVES = "leaves"
# (PV1-3 of the message, PV1-6): what the movement means for the ward in each of the two fields.
MOVEMENTS = {
    "ADT^A01": (ARRIVES, ""),
    "ADT^A02": (ARRIVES, LEAVES),
    "ADT^A03": (LEAVES, ""),
    "ADT^A11": (LEAVES, ""),
    "ADT^A12": (ARRIVES, LEAVES),  # PV1-6 names the bed of the transfer that is cancelled
    "ADT^A13": (ARRIVES, ""),
}


@transform
def to_ward_list(document: Hl7Document, context: Context) -> list[Out] | Drop:
    """One file for each ward that the movement touches."""
    lists = list(_lists(document, context))
    return lists or Drop("no ward in PV1-3 or PV1-6")


def _lists(document: Hl7Document, context: Context) -> Iterator[Out]:
    here, before = MOVEMENTS[context.keys.type]
    time = iso(document["EVN-6.1"] or document["EVN-2.1"] or document["MSH-7.1"])
    for field, movement in (("PV1-3", here), ("PV1-6", before)):
        found = place(document, field)
        if found is None or not movement:
            continue
        ward = context.lookup("wards", found.ward, default=found.ward)
        line = ";".join((ward, found.room, found.bed, document["PV1-19.1"], movement, time))
        yield Out(f"{HEADER}\r\n{line}\r\n", content_type="text/csv", name=f"{found.ward}-{movement}")
