"""The wire: one file a connector, each with its descriptor at the foot."""
