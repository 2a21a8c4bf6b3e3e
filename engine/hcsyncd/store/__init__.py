"""The durable store: one writer, many readers, group commit."""
