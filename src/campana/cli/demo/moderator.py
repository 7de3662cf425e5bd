"""A channel-flow processor: it masks card numbers, keeps one word out and lets the rest pass.

An ordinary Lambda function: deploy it to AWS Lambda as it is, or run it here:
campana serve --processor arn:aws:lambda:us-east-1:123456789012:function:moderate=moderator.py:handler
"""

import re
from typing import Any

import boto3

CARD_NUMBER = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
BANNED_WORD = re.compile(r"\bjackpot\b", re.IGNORECASE)

chime = boto3.client("chime-sdk-messaging")  # region, keys and endpoint: from the environment, as on Lambda


def handler(event: dict[str, Any], context: object) -> None:
    message = event["ChannelMessage"]
    masked = CARD_NUMBER.sub("****", message["Content"])
    denied = BANNED_WORD.search(masked) is not None

    answer = {"MessageId": message["MessageId"]}  # a field that is not in the answer stays as it is
    if masked != message["Content"]:
        answer["Content"] = masked

    # What a function prints goes to the log, so never what people write.
    print("denied" if denied else "changed" if "Content" in answer else "passed", message["MessageId"])

    # The only way to answer: what a handler returns is not looked at.
    chime.channel_flow_callback(
        CallbackId=event["CallbackId"],
        ChannelArn=message["ChannelArn"],
        ChannelMessage=answer,
        DeleteResource=denied,
    )
