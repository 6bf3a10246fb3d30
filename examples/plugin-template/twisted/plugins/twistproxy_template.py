"""What twistproxy finds of this package. It only names things: every Twisted command imports it."""

from twistproxy.interfaces import IBalancer, IDirector, IResponseModifier
from twistproxy.plugin import Plugin

maintenance = Plugin(
    "maintenance",
    "twistproxy_template.director.Maintenance",
    IDirector,
    summary="answers 503 while a file is there",
    example="maintenance:closed.txt",
)
first = Plugin(
    "first",
    "twistproxy_template.balancer.First",
    IBalancer,
    summary="the first that is up, in the order of the configuration",
)
servedBy = Plugin(
    "served-by",
    "twistproxy_template.modifier.ServedBy",
    IResponseModifier,
    summary="tells the client which upstream answered",
    example="served-by:header=X-Upstream",
)
