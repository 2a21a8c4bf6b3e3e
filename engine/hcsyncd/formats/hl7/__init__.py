"""HL7 v2: peek, paths, lazy documents, acknowledgements, batches."""
