"""Does a server speak the API of Amazon Chime SDK messaging and identity? Asked through boto3 and the WebSocket alone.

Nothing here knows how the server is made: this package imports nothing of `campana` and nothing of the other tests.
docs/how-to/conformance.md says how to point it at a server, or at AWS.
"""
