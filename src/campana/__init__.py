"""Campana: Amazon Chime SDK Messaging as a server that people run themselves."""

from importlib.metadata import version

__version__ = version("campana")
