"""Calling plugins: values that have to be waited for, chains, and middleware around all."""
