"""Reads the parts of a configuration from what a person wrote, on a command line or in a file."""
