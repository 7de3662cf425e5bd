"""Campana: Amazon Chime SDK Messaging as a server that people run themselves."""

__version__ = "0.1.0"
