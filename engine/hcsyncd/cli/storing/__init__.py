"""What `hcsyncd store` does without a daemon."""
