"""What a configuration file cannot say for tutorial-single.toml: another body for each request that has one."""

from zope.interface import implementer

from twistproxy.interfaces import IDirector
from twistproxy.plugin import Size


@implementer(IDirector)
class NewBody:
    """Read the body of a request, and send another in its place. Its length is told rightly to the upstream."""

    def __init__(self, text: str = "{body}", limit: Size = 1 << 20) -> None:
        """
        @param text: what is sent; {body} stands for what came.
        @param limit: the longest body that is read; a longer one is answered with 413.
        """
        self.text = text
        self.limit = limit

    async def direct(self, inbound, outbound):
        body = await outbound.body.read(self.limit)
        if body:
            outbound.body = self.text.encode().replace(b"{body}", body)
