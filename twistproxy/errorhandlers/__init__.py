"""What answers failures; each is built by its tag, as anybody's error handler is."""
