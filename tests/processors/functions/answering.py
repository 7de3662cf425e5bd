"""A Lambda handler with nothing but boto3: does what the message says, and answers."""

import os
import time
from typing import Any

import boto3

messaging = boto3.client("chime-sdk-messaging")


def handler(event: dict[str, Any], context: object) -> None:
    message = event["ChannelMessage"]
    words = message["Content"].split()
    print("took", message["MessageId"], event["CallbackId"])
    if words[0] == "raise":
        raise ValueError("no such luck")
    if words[0] == "die":
        os._exit(3)
    if words[0] == "sleep":
        time.sleep(float(words[1]))
    answer = {"MessageId": message["MessageId"]}
    if words[0] == "change":
        answer["Content"] = "changed"
    messaging.channel_flow_callback(
        CallbackId=event["CallbackId"],
        ChannelArn=message["ChannelArn"],
        ChannelMessage=answer,
        DeleteResource=words[0] == "deny",
    )
