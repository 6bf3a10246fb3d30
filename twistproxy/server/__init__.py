"""The half of the proxy that faces clients."""
