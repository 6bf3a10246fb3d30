"""The parts of compare.py: what is measured (C{proxies}), by which work (C{scenarios}, C{loads}), on which cores
(C{processes}), in which order (C{measuring}), where (C{machine}), and how it is shown (C{report})."""
