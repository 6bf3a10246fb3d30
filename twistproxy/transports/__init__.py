"""What moves bytes over sockets: writers, splices in the kernel, options of TCP."""
