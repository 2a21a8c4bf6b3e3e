"""The feed as the bed board wants it: the same bytes but for two fields."""

from hcsyncd import Context, Hl7Document, Out, transform


@transform
def to_bed_board(document: Hl7Document, context: Context) -> Out:
    """MSH-5 names the bed board, PV1-3.1 is its own ward code.

    A ward that ``mapping/bed_board.csv`` does not know lets the message wait until it does: a patient in no bed is
    worse than a late one."""
    document["MSH-5"] = "BEDBOARD"
    ward = document["PV1-3.1"]
    if ward:
        document["PV1-3.1"] = context.lookup("bed_board", ward)
    return Out(document)
