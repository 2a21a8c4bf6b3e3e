"""What holds for all tests."""

import signal

from hypothesis import HealthCheck, settings

# Machines that run tests are busy: generated input is bounded by its number and by the time limit of each test.
settings.register_profile("hcsyncd", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hcsyncd")

# What a script starts in the background ignores Ctrl-C, and so would the commands that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
