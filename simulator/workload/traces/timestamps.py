"""Dates as traces write them, in seconds since 1970; what has no time zone is in UTC.

Most lines of a log share their second with others: the seconds seen last are remembered.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

_REMEMBERED = 4096
_MONTHS = {"Jan": 1, "Feb": 2, "Mar": 3, "Apr": 4, "May": 5, "Jun": 6}
_MONTHS |= {"Jul": 7, "Aug": 8, "Sep": 9, "Oct": 10, "Nov": 11, "Dec": 12}


def iso_s(text: str) -> float:
    """Of ``2023-11-16 18:15:46.6805900`` or another form of ISO 8601, with as many digits as there are.

    Raises:
        ValueError: the text is no date.
    """
    fraction = text[19:].removesuffix("Z").removesuffix("+00:00")
    if not fraction:
        return _iso_second(text[:19])
    if fraction[0] == "." and fraction[1:].isdecimal():
        return _iso_second(text[:19]) + float(fraction)
    return _seconds(datetime.fromisoformat(text))


@lru_cache(_REMEMBERED)
def _iso_second(text: str) -> float:
    return _seconds(datetime.fromisoformat(text))


def _seconds(date: datetime) -> float:
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


@lru_cache(_REMEMBERED)
def log_s(text: str) -> float:
    """Of ``01/Aug/1995:06:00:04 -0400``, with or without a time zone.

    Raises:
        ValueError, KeyError: the text is no such date.
    """
    date, _, zone = text.partition(" ")
    day, month, rest = date.split("/")
    year, hour, minute, second = map(int, rest.split(":"))
    at_s = datetime(year, _MONTHS[month], int(day), hour, minute, min(second, 59), tzinfo=UTC).timestamp()
    if not zone:
        return at_s
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5])).total_seconds()
    return at_s + offset if zone[0] == "-" else at_s - offset
