"""The client behind `hcsyncd send`: what to send, how to send it, and how it went."""
