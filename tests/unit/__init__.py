"""Tests without sockets, for trial and pytest alike. Folders in here need an __init__.py for trial."""
