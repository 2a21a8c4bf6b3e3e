"""Bytes and documents: what each format of the field looks like, without any I/O."""
