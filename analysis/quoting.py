"""What a backend of a plan will cost, in one line: what is expected and what it can be at most stand side by side."""

from __future__ import annotations

from lbench.engine.billing.quote import Quote
from lbench.engine.cost.format import usd_short

__all__ = ["basis_text", "quote_text"]


def quote_text(quote: Quote) -> str:
    """Of a run, and of all runs."""
    would = "AWS charges" if quote.spends else "AWS would charge"
    most = None if quote.bound_usd is None else usd_short(quote.bound_usd, up=True)
    most_all = None if quote.bound_usd is None else usd_short(quote.bound_usd * quote.runs, up=True)
    if quote.expected is None:
        told = f"{would} at most {most} a run, {most_all} in all" if most else f"no bound on what {would}"
        return f"{quote.label}: {told}; expected: not known yet"
    each, whole = usd_short(quote.expected.usd), usd_short(quote.expected.usd * quote.runs)
    if most is None:
        return f"{quote.label}: {would} about {each} a run, {whole} in all; there is no bound"
    return f"{quote.label}: {would} about {each} a run, at most {most}; in all about {whole}, at most {most_all}"


def basis_text(quote: Quote) -> str | None:
    """Where the expectation comes from; None where there is none."""
    return None if quote.expected is None else f"{quote.label}: about, {quote.expected.text}"
