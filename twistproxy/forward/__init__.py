"""The proxy as a forward proxy: clients say where they want to go, and rules say whether they may."""
