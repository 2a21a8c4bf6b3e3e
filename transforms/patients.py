"""Which patients the hospital's other systems should hear of."""

import hcsyncd
from hcsyncd import Context, Hl7Document

TEST_FAMILY_NAMES = ("ZZTEST", "TESTPATIENT")


@hcsyncd.filter
def is_real(document: Hl7Document, context: Context) -> bool:
    """Keep patients who do not exist out: PID-5.1 carries the name that the registration desk agreed on for them."""
    return document["PID-5.1"].upper() not in TEST_FAMILY_NAMES
