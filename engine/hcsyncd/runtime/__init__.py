"""A site comes alive: built, supervised, reloaded, and talked to over the control socket."""
