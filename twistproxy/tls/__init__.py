"""TLS on both sides: the layer over a connection, certificates for clients by name, and what is asked of upstreams."""
