"""Two connections joined, each way as fast as the other side takes it."""
