"""What decides where requests go and changes what is sent there; each is built by its tag, as anybody's director is."""
