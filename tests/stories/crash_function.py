"""A slow Lambda function: it tells the test of its event, calls back when it is told to, and ends when it is let go.

It is copied into a folder of its own, beside a file `port` with the port where the test listens.
"""

import json
import socket
from pathlib import Path
from typing import Any

import boto3


def handler(event: dict[str, Any], context: object) -> None:
    port = int(Path(__file__).with_name("port").read_text())
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rw") as test:
        print(json.dumps(event), file=test, flush=True)
        if not test.readline():
            return
        message = event["ChannelMessage"]
        boto3.client("chime-sdk-messaging").channel_flow_callback(
            ChannelArn=message["ChannelArn"],
            CallbackId=event["CallbackId"],
            ChannelMessage={"MessageId": message["MessageId"], "Content": f"<{message['Content']}>"},
        )
        print("called back", file=test, flush=True)
        test.readline()
