"""What the tests on real sockets share: both ends of a connection, running proxies, messages taken apart."""
