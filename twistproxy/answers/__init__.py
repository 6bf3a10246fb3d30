"""Answers that the proxy makes by itself."""
