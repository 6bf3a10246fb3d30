"""The tests of twistproxy: see CONTRIBUTING.md for what goes where."""
