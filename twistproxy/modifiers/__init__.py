"""What changes or refuses answers; each is built by its tag, as anybody's modifier is."""
