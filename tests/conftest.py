"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# how long an example takes depends on what else the machine does; a test that hangs is ended by pytest's own timeout
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
