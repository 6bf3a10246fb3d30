"""An application with a proxy in it: twistd --nodaemon --python application.tac"""

from twisted.application.internet import StreamServerEndpointService
from twisted.application.service import Application
from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString

from twistproxy import ReverseProxy, Settings

application = Application("shop")

proxy = ReverseProxy(
    reactor,
    ["http://127.0.0.1:9000", "http://127.0.0.1:9001"],
    settings=Settings(upstreamHeadTimeout=10.0, drainTimeout=5.0),
)
# As a child of the application it lets requests finish when that stops.
proxy.setServiceParent(application)

endpoint = serverFromString(reactor, "tcp:8080:interface=127.0.0.1")
StreamServerEndpointService(endpoint, proxy).setServiceParent(application)
