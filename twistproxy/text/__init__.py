"""What is written in configurations, read and written: sizes, times, statuses, networks, URLs."""
