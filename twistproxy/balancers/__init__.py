"""Built-in balancers, one idea a file."""
