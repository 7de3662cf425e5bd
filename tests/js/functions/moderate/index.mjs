// A processor as people deploy it to Lambda: a message with "secret" is denied, in every other one "duck" is starred.

import { ChannelFlowCallbackCommand, ChimeSDKMessagingClient } from '@aws-sdk/client-chime-sdk-messaging';

const client = new ChimeSDKMessagingClient({});

export const handler = async ({ CallbackId, ChannelMessage: { ChannelArn, MessageId, Content } }) => {
  console.log(`moderating ${MessageId}`);
  await client.send(
    new ChannelFlowCallbackCommand({
      CallbackId,
      ChannelArn,
      DeleteResource: Content.includes('secret'),
      ChannelMessage: { MessageId, Content: Content.replaceAll('duck', '****') },
    }),
  );
};
