"""How plugins are found, read from text and built. Their authors need L{twistproxy.plugin} only."""
