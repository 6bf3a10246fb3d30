"""Several processes that serve as one proxy: a supervisor that binds and watches, workers that serve."""
