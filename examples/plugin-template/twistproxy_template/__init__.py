"""Plugins for twistproxy."""
