"""The half of the proxy that faces upstreams."""
