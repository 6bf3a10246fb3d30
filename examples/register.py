"""Registers servers in ZooKeeper for as long as this runs.

    python3 register.py 127.0.0.1:2181 /services/web 127.0.0.1:9000 127.0.0.1:9001
"""

import signal
import sys

from kazoo.client import KazooClient

hosts, path, *addresses = sys.argv[1:]
client = KazooClient(hosts)
client.start()
for address in addresses:
    # Ephemeral: when this program ends, and be it by a power failure, the node goes.
    client.create(f"{path}/{address}", ephemeral=True, makepath=True)
    print(f"registered {address}", flush=True)
signal.sigwait({signal.SIGINT, signal.SIGTERM})
client.stop()
