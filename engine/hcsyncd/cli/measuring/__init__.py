"""The engine behind `hcsyncd bench`: load, sinks, the daemon under test, and what is counted."""
