"""What holds for all tests."""

from hypothesis import settings

# Examples are timed by the wall clock, which says nothing on a machine that runs a cluster beside the tests.
settings.register_profile("ksnap", deadline=None)
settings.load_profile("ksnap")
