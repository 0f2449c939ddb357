"""Amounts of US dollars as texts: exact for documents, short for people."""

from __future__ import annotations

import decimal
from decimal import Decimal

__all__ = ["ASSUMED", "usd_short", "usd_text"]


def usd_text(usd: Decimal) -> str:
    """A plain decimal for documents: all digits, no exponent, no zeros at the end."""
    text = format(usd, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


ASSUMED = "*"  # beside an amount that counts something at another region's price


def usd_short(usd: Decimal | float, *, up: bool = False, assumed: bool = False, width: int = 0) -> str:
    """For people: cents, or two digits where it is less than a dollar ("$1,234.50", "$0.25", "$0.00016").

    Args:
        usd: the amount.
        up: round up, for a bound: what is shown must not be less than it.
        assumed: mark it as counted, in part, at the dearest known price of another region.
        width: characters that there are, 0: enough; a fraction that is longer has an exponent ("$4.3e-6").
    """
    if not usd:
        return "$0"
    if isinstance(usd, float):
        usd = Decimal(repr(usd))
    exponent = min(-2, usd.adjusted() - 1)
    rounding = decimal.ROUND_CEILING if up else decimal.ROUND_HALF_UP
    with decimal.localcontext(decimal.Context(prec=200)):
        text = f"{usd.quantize(Decimal(1).scaleb(exponent), rounding=rounding):,f}"
    whole, _, decimals = text.partition(".")
    text = f"${whole}.{decimals.rstrip('0').ljust(2, '0')}{ASSUMED * assumed}"
    if 0 < width < len(text) and abs(usd) < 1:
        with decimal.localcontext(rounding=rounding):
            text = f"${usd:.1e}{ASSUMED * assumed}"
    return text
