"""The headers of a browser, as compare.py and request.py send them."""

from __future__ import annotations

from typing import Final

BROWSER: Final = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.8,de;q=0.5,fr;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://www.example.org/articles?page=2&sort=newest"),
    ("Cookie", "session=b1946ac92492d2347c6235b4d2611184; theme=light; consent=necessary"),
    ("Upgrade-Insecure-Requests", "1"),
    ("Sec-Fetch-Dest", "document"),
    ("Sec-Fetch-Mode", "navigate"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Priority", "u=0, i"),
    ("Cache-Control", "max-age=0"),
)
"""Besides Host."""
