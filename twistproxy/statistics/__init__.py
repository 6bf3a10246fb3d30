"""Counting what happens: plain objects that anybody may read."""
