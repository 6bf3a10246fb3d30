-- wrk's request of the scenario "up": one MiB to be taken.
wrk.method = "POST"
wrk.body = string.rep("x", 1048576)
