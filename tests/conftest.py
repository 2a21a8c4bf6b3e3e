"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# Machines that run tests are busy: generated input is bounded by its number and by the time limit of each test.
settings.register_profile("hcsyncd", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hcsyncd")
