"""
What ``twist`` and ``twistd`` find of twistproxy.

Every start of any Twisted command may import this module, so it names things and imports nothing heavy.
"""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

from twistproxy.interfaces import (
    IBalancer,
    IDirector,
    IErrorHandler,
    IHealthCheck,
    IMiddleware,
    IPassiveCheck,
    IResponseModifier,
    IRetryPolicy,
    IUpstreamSource,
)
from twistproxy.plugin import Plugin

revproxy = ServiceMaker(
    "Twisted reverse proxy",
    "twistproxy.tap",
    "A reverse proxy: HTTP/1.1 and upgrades to one or more upstreams, programmable with plugins.",
    "revproxy",
)

uvloop = Reactor("uvloop", "twistproxy.reactor.command", "uvloop's own transports under Twisted's contract (twistproxy).")

random = Plugin(
    "random", "twistproxy.balancers.randomchoice.RandomChoice", IBalancer, summary="any, by weight", example="random:seed=1"
)
roundRobin = Plugin("round-robin", "twistproxy.balancers.roundrobin.RoundRobin", IBalancer, summary="one after the other")
weightedRoundRobin = Plugin(
    "weighted-round-robin",
    "twistproxy.balancers.weighted.WeightedRoundRobin",
    IBalancer,
    summary="in turn, by weight, evenly spread",
)
consistentHash = Plugin(
    "consistent-hash",
    "twistproxy.balancers.consistenthash.ConsistentHash",
    IBalancer,
    summary="the same one for the same client, header, cookie or path, by a ring",
    example="consistent-hash:key=header\\:X-User",
)
rendezvous = Plugin(
    "rendezvous",
    "twistproxy.balancers.rendezvous.Rendezvous",
    IBalancer,
    summary="the same one for the same key, by the highest score",
    example="rendezvous:key=path",
)
leastConnections = Plugin(
    "least-connections",
    "twistproxy.balancers.leastconnections.LeastConnections",
    IBalancer,
    summary="the one with the fewest exchanges under way",
)
powerOfTwoChoices = Plugin(
    "power-of-two-choices",
    "twistproxy.balancers.poweroftwo.PowerOfTwoChoices",
    IBalancer,
    summary="the less busy of two at random",
)
peakEwma = Plugin(
    "peak-ewma",
    "twistproxy.balancers.peakewma.PeakEwma",
    IBalancer,
    summary="the quicker of two at random",
    example="peak-ewma:decay=5s:penalty=2s",
)
stickyCookie = Plugin(
    "sticky-cookie",
    "twistproxy.balancers.stickycookie.StickyCookie",
    IBalancer,
    summary="the one that a cookie names",
    example="sticky-cookie:cookie=session-host:max-age=1h",
)
"""The balancers that come with twistproxy."""

tcpCheck = Plugin(
    "tcp", "twistproxy.health.tcp.TCPCheck", IHealthCheck, summary="an upstream is well when it takes a connection"
)
httpCheck = Plugin(
    "http",
    "twistproxy.health.http.HTTPCheck",
    IHealthCheck,
    summary="an upstream is well when it answers a request as expected",
    example="http:path=/healthz:interval=5s",
)
agentCheck = Plugin(
    "agent",
    "twistproxy.health.agent.AgentCheck",
    IHealthCheck,
    summary="asks an agent beside the upstream, by HAProxy's protocol",
    example="agent:port=9777",
)
"""What asks upstreams whether they are well."""

maxFails = Plugin(
    "max-fails",
    "twistproxy.health.maxfails.MaxFails",
    IPassiveCheck,
    summary="leaves out upstreams after so many failures, then tries them with one request",
    example="max-fails:3:timeout=10s",
)
outlier = Plugin(
    "outlier",
    "twistproxy.health.outlier.Outlier",
    IPassiveCheck,
    summary="leaves out upstreams that fail several times in a row, longer each time",
    example="outlier:errors=5:max-ejected=50",
)
"""What learns from the traffic which upstreams fail."""

stripPrefix = Plugin(
    "strip-prefix",
    "twistproxy.directors.stripprefix.StripPrefix",
    IDirector,
    summary="takes a prefix off the path",
    example="strip-prefix:/api",
)
addPrefix = Plugin(
    "add-prefix",
    "twistproxy.directors.addprefix.AddPrefix",
    IDirector,
    summary="puts a prefix before the path",
    example="add-prefix:/app",
)
rewrite = Plugin(
    "rewrite",
    "twistproxy.directors.rewrite.Rewrite",
    IDirector,
    summary="replaces what a pattern matches in the path",
    example="rewrite:^/dir(.*):$1",
)
query = Plugin(
    "query",
    "twistproxy.directors.query.Query",
    IDirector,
    summary="cleans the query, sets and removes parameters",
    example="query:remove=utm_source,utm_medium",
)
host = Plugin(
    "host", "twistproxy.directors.host.Host", IDirector, summary="sets the Host that the upstream gets", example="host:upstream"
)
requestHeaders = Plugin(
    "request-headers",
    "twistproxy.directors.requestheaders.RequestHeaders",
    IDirector,
    summary="removes, renames, sets and adds headers of the request",
    example="request-headers:remove=Cookie:set=X-Team=blue",
)
redirect = Plugin(
    "redirect",
    "twistproxy.directors.redirect.Redirect",
    IDirector,
    summary="sends the client elsewhere",
    example="redirect:https=yes",
)
static = Plugin(
    "static",
    "twistproxy.directors.static.Static",
    IDirector,
    summary="answers by itself, always the same",
    example="static:ok:path=/healthz",
)
split = Plugin(
    "split",
    "twistproxy.directors.split.Split",
    IDirector,
    summary="splits the requests over pools by weight",
    example="split:a=9:b=1",
)
canary = Plugin(
    "canary",
    "twistproxy.directors.canary.Canary",
    IDirector,
    summary="sends those with a certain header or cookie to another pool",
    example="canary:b:header=X-Beta",
)
clientCertificate = Plugin(
    "client-certificate",
    "twistproxy.directors.clientcertificate.ClientCertificateDirector",
    IDirector,
    IMiddleware,
    summary="tells the upstream whose certificate the client showed, or lets only some in",
    example="client-certificate:subject=X-Client-Subject",
)
"""The directors that come with twistproxy."""

responseHeaders = Plugin(
    "response-headers",
    "twistproxy.modifiers.responseheaders.ResponseHeaders",
    IResponseModifier,
    summary="removes, renames, sets and adds headers of the answer",
    example="response-headers:remove=Server,X-Powered-By",
)
rewriteLocation = Plugin(
    "rewrite-location",
    "twistproxy.modifiers.location.RewriteLocation",
    IResponseModifier,
    summary="makes redirects of an upstream lead back through the proxy",
)
rewriteCookies = Plugin(
    "rewrite-cookies",
    "twistproxy.modifiers.cookies.RewriteCookies",
    IResponseModifier,
    summary="fits domain, path and flags of cookies to what clients see",
)
bodyPrefix = Plugin(
    "body-prefix",
    "twistproxy.modifiers.bodyprefix.BodyPrefix",
    IResponseModifier,
    summary="puts text before the answer's own",
    example="body-prefix:Hello :status=200",
)
bodyReplace = Plugin(
    "body-replace",
    "twistproxy.modifiers.bodyreplace.BodyReplace",
    IResponseModifier,
    summary="replaces the answer's text, or what a pattern matches in it",
    example="body-replace:https:pattern=http",
)
statusError = Plugin(
    "status-error",
    "twistproxy.modifiers.statuserror.StatusError",
    IResponseModifier,
    summary="makes a failure of an answer with another status than those allowed",
    example="status-error:200",
)
"""The response modifiers that come with twistproxy."""

pages = Plugin(
    "pages",
    "twistproxy.errorhandlers.pages.Pages",
    IErrorHandler,
    summary="answers failures with the pages of a directory",
    example="pages:errors",
)
problemJSON = Plugin("json", "twistproxy.errorhandlers.problem.ProblemJSON", IErrorHandler, summary="answers failures with JSON")
fallback = Plugin(
    "fallback",
    "twistproxy.errorhandlers.fallback.Fallback",
    IErrorHandler,
    IMiddleware,
    summary="answers failures with something else, such as an empty list",
    example="fallback:[]:status=200:content-type=application/json",
)
text = Plugin(
    "text",
    "twistproxy.errorhandlers.text.Text",
    IErrorHandler,
    summary="answers failures with a line of text",
    example="text:Error\\: :status=500",
)
"""The error handlers that come with twistproxy."""

listed = Plugin(
    "list",
    "twistproxy.discovery.listed.Listed",
    IUpstreamSource,
    summary="upstreams written down as addresses, with one format for their URLs",
    example="list:10.0.0.1\\:80:10.0.0.2\\:80:format=http\\://%s/base",
)
file = Plugin(
    "file",
    "twistproxy.discovery.files.File",
    IUpstreamSource,
    summary="upstreams from a file, which is read again when it changes",
    example="file:upstreams.txt",
)
zookeeper = Plugin(
    "zookeeper",
    "twistproxy.discovery.zookeeper.ZooKeeper",
    IUpstreamSource,
    summary="upstreams from the children of a node of ZooKeeper",
    example="zookeeper:/services/web:hosts=127.0.0.1\\:2181:format=http\\://%s/base",
)
dns = Plugin(
    "dns",
    "twistproxy.discovery.dns.addresses",
    IUpstreamSource,
    summary="upstreams from the addresses of a name",
    example="dns:web.example.com:8080:resolver=127.0.0.1\\:5353",
)
srv = Plugin(
    "srv",
    "twistproxy.discovery.dns.services",
    IUpstreamSource,
    summary="upstreams from SRV records, with their ports, weights and priorities",
    example="srv:_http._tcp.example.com",
)
httpJSON = Plugin(
    "http-json",
    "twistproxy.discovery.httpjson.httpJSON",
    IUpstreamSource,
    summary="upstreams from a JSON document at a URL, which is fetched again and again",
    example="http-json:http\\://127.0.0.1\\:8500/upstreams.json:every=10s",
)
"""Where upstreams may be found."""

requireHTTPS = Plugin(
    "require-https",
    "twistproxy.middleware.requirehttps.RequireHTTPS",
    IMiddleware,
    summary="sends plain HTTP to HTTPS, and has browsers remember it",
    example="require-https:hsts=365d",
)
forwardAuth = Plugin(
    "forward-auth",
    "twistproxy.middleware.forwardauth.ForwardAuth",
    IMiddleware,
    summary="asks another server whether a request may pass",
    example="forward-auth:url=http\\://127.0.0.1\\:9001/auth:copy=Remote-User",
)
jsonWebToken = Plugin(
    "jwt",
    "twistproxy.middleware.jsonwebtoken.JSONWebToken",
    IMiddleware,
    summary="lets requests with a good JSON Web Token pass",
    example="jwt:algorithms=RS256:jwks=https\\://login.example/jwks.json",
)
rateLimit = Plugin(
    "rate-limit",
    "twistproxy.middleware.ratelimit.RateLimit",
    IMiddleware,
    summary="lets so many requests a second in, of each client or other key",
    example="rate-limit:rate=50:burst=10:key=client",
)
concurrencyLimit = Plugin(
    "concurrency-limit",
    "twistproxy.middleware.concurrencylimit.ConcurrencyLimit",
    IMiddleware,
    summary="lets so many requests be under way at once, of all or of each client",
    example="concurrency-limit:max=10:key=client",
)
circuitBreaker = Plugin(
    "circuit-breaker",
    "twistproxy.middleware.circuitbreaker.CircuitBreaker",
    IMiddleware,
    IPassiveCheck,
    summary="gives what fails too often a pause",
    example="circuit-breaker:errors=50%:volume=20:open=10s",
)
statistics = Plugin(
    "statistics",
    "twistproxy.middleware.statistics.Statistics",
    IMiddleware,
    summary="counts requests, rates, failures and times",
    example="statistics:name=all:log=1m",
)
basicAuth = Plugin(
    "basic-auth",
    "twistproxy.middleware.basicauth.BasicAuth",
    IMiddleware,
    summary="lets those in who give a name and its password",
    example="basic-auth:users:header=X-User",
)
cors = Plugin(
    "cors",
    "twistproxy.middleware.cors.CORS",
    IMiddleware,
    summary="lets scripts of other sites read answers",
    example="cors:https\\://app.example.com:credentials=yes",
)
securityHeaders = Plugin(
    "security-headers",
    "twistproxy.middleware.securityheaders.SecurityHeaders",
    IMiddleware,
    summary="has browsers take less for granted, and upstreams tell less",
    example="security-headers:frames=deny:csp=default-src 'self'",
)
requestId = Plugin(
    "request-id",
    "twistproxy.middleware.requestid.RequestId",
    IMiddleware,
    summary="tells upstreams and clients a request's name in the logs",
    example="request-id:X-Correlation-ID",
)
ipFilter = Plugin(
    "ip-filter",
    "twistproxy.middleware.ipfilter.IPFilter",
    IMiddleware,
    summary="lets clients in by address",
    example="ip-filter:deny=192.0.2.0/24",
)
compress = Plugin(
    "compress",
    "twistproxy.middleware.compress.Compress",
    IMiddleware,
    summary="compresses answers for clients that take that",
    example="compress:min-size=1KiB",
)
chaos = Plugin(
    "chaos",
    "twistproxy.middleware.chaos.Chaos",
    IMiddleware,
    summary="makes faults on purpose, the same ones for the same seed",
    example="chaos:latency=200ms:share=10%:seed=1",
)
mirror = Plugin(
    "mirror",
    "twistproxy.middleware.mirror.Mirror",
    IMiddleware,
    summary="sends copies of requests to another pool, and drops what it answers",
    example="mirror:pool=shadow:share=10%",
)
bandwidthLimit = Plugin(
    "bandwidth-limit",
    "twistproxy.middleware.bandwidthlimit.BandwidthLimit",
    IMiddleware,
    summary="lets so many bytes through in a second, for each connection or other key",
    example="bandwidth-limit:rate=1MiB:upload=256KiB",
)
bufferRequest = Plugin(
    "buffer-request",
    "twistproxy.middleware.bufferrequest.BufferRequest",
    IMiddleware,
    summary="takes in all of a request's body before an upstream is asked",
    example="buffer-request:max=1MiB",
)
bufferResponse = Plugin(
    "buffer-response",
    "twistproxy.middleware.bufferresponse.BufferResponse",
    IMiddleware,
    summary="takes answers from their upstream faster than a slow client does",
    example="buffer-response:max=1MiB",
)
shed = Plugin(
    "shed",
    "twistproxy.middleware.shed.Shed",
    IMiddleware,
    summary="refuses some requests while the process is overloaded",
    example="shed:lag=200ms",
)
"""The middleware that comes with twistproxy."""

retry = Plugin(
    "retry",
    "twistproxy.exchange.retrying.RetryRule",
    IRetryPolicy,
    summary="asks another upstream after failures and statuses that it names",
    example="retry:on=connect,reset,503",
)
"""The retry policy that comes with twistproxy."""
