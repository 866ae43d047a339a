"""What one address and one token may take of the room for sessions whose links broke"""

from case_access import ANNA, BERT, Guarded, Member, bearer, line
from case_park import Client, parked
from daemon import Shoald, check, wait_until
from ws import Socket


def breaks_its_links(link, count):
    for _ in range(count):
        ws = link()
        ws.message("ready")
        ws.reset()


def crowded(shoald, sessions, lost):
    """So many are parked, and so many had to go for their like."""
    wait_until(lambda: shoald.metric("parks_crowded_total") == lost, 5, f"not {lost} gone")
    parked(shoald, sessions)
    check(shoald.metric("parks_lost_total") == lost, "others had to go")


def case_one_address_that_breaks_its_links():
    """It loses its own, not those of others; 127.0.0.1 may be a proxy and is none."""
    with Shoald(park_sessions=16) as shoald:
        others = [Client(shoald.port) for _ in range(10)]
        for c in others:
            c.ws.reset()
        parked(shoald, 10)
        breaks_its_links(lambda: Socket(shoald.port, source="127.0.0.2"), 12)
        crowded(shoald, 14, 8)
        check("why=address" in shoald.log(), "the log does not say why")
        breaks_its_links(lambda: Socket(shoald.port, source="127.0.0.3"), 2)
        crowded(shoald, 16, 8)
        for c in others:
            check("bytes" in c.come_back(), c.ready)
            c.close()


def case_one_address_with_much_memory():
    """The share is one of memory, too: a few sessions, though there is room for 64"""
    with Shoald(park_bytes=8 << 20) as shoald:
        breaks_its_links(lambda: Socket(shoald.port, source="127.0.0.2"), 1)
        parked(shoald, 1)
        share = int((2 << 20) / shoald.metric("parked_bytes"))
        check(1 <= share < 20, "room for", share)
        breaks_its_links(lambda: Socket(shoald.port, source="127.0.0.2"), share + 2)
        crowded(shoald, share, 3)


def case_one_token_that_breaks_its_links():
    with Guarded(line("anna", ANNA, "sessions=2") + line("bert", BERT)) as shoald:
        breaks_its_links(lambda: Member(shoald.port, bearer(BERT)), 3)
        for n in range(4):          # one at a time: until a link is known to be broken it counts as a session
            breaks_its_links(lambda: Member(shoald.port, bearer(ANNA)), 1)
            wait_until(lambda: shoald.log().count(" session_park ") == 4 + n, 5, "not parked")
        wait_until(lambda: shoald.log().count("why=token") == 2, 5, "not two of them had to go")
        check(shoald.log().count(" park_end ") == 2, "others had to go")
