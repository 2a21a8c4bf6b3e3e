"""What an operator can ask of a running daemon, one file a subject.

Times in answers stay microseconds since the epoch. A verb that changes something takes the exact ids it changes; a
person's filter is turned into ids by the listing before, so that what was confirmed and what is done are the same.
"""
