"""A site on disk becomes typed configuration, or findings with file, line and column."""
