"""The report's page: one HTML file that needs nothing from elsewhere. All texts are escaped: names come from others."""

from __future__ import annotations

from importlib import resources

from lbench.cli.html.content import Content

__all__ = ["page"]


def page(content: Content) -> str:
    """The HTML of a report."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["trusted"] = Markup  # for our own figures alone
    source = resources.files("lbench.cli.html").joinpath("page.html.j2").read_text("utf-8")
    return environment.from_string(source).render(content=content)
