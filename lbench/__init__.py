"""lbench: is this parallel job better on AWS Lambda than on the machine you have?

Importing the package loads nothing heavy; each subpackage is imported where it is needed.
"""

from lbench._version import __version__

__all__ = ["__version__"]
