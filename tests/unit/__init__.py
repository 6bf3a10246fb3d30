"""Tests without sockets, for trial and pytest alike. Folders in here need an __init__.py for trial."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine is no failure
settings.load_profile("untimed")
