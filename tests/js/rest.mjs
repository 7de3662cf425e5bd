// The main story over REST, told by the AWS SDK for JavaScript v3. One line for each step, named by `step`.

import { ChimeSDKIdentity } from '@aws-sdk/client-chime-sdk-identity';
import { ChimeSDKMessaging, ForbiddenException, paginateListChannelMessages } from '@aws-sdk/client-chime-sdk-messaging';

import { tell } from './lines.mjs';

const identity = new ChimeSDKIdentity({});
const messaging = new ChimeSDKMessaging({});

/** What a refused call threw. */
async function refusal(call) {
  try {
    await call;
  } catch (error) {
    const { name, message, Code, $metadata } = error;
    return { name, message, Code, status: $metadata.httpStatusCode, typed: error instanceof ForbiddenException };
  }
  throw new Error('The call was not refused.');
}

/** Times as text, but only where they are Dates: one that came as anything else stays as it is. */
const shown = ({ $metadata, ...answer }) => JSON.parse(JSON.stringify(answer));
const isDate = (value) => value instanceof Date && !Number.isNaN(value.getTime());

// An app instance with people and a channel.
const { AppInstanceArn } = await identity.createAppInstance({ Name: 'A story' });
const user = async (id) =>
  (await identity.createAppInstanceUser({ AppInstanceArn, AppInstanceUserId: id, Name: id.toUpperCase() })).AppInstanceUserArn;
const [ann, bob, eve] = [await user('ann'), await user('us-east-1:bob@b.c'), await user('eve')];
const created = await messaging.createChannel({
  AppInstanceArn,
  Name: 'Größe ☃ 🦆',
  MemberArns: [bob],
  ChimeBearer: ann,
});
const { ChannelArn } = created;
const described = await messaging.describeChannel({ ChannelArn, ChimeBearer: bob });
tell({ step: 'channel', ann, bob, ChannelArn, status: created.$metadata.httpStatusCode, ...shown(described.Channel) });

// A message: sent, read, changed, redacted.
const asAnn = { ChannelArn, ChimeBearer: ann };
const standard = { Type: 'STANDARD', Persistence: 'PERSISTENT' };
const sendMessage = async (Content, more = {}) =>
  (await messaging.sendChannelMessage({ ...asAnn, ...standard, Content, ...more })).MessageId;

const before = new Date();
const sent = await messaging.sendChannelMessage({
  ...asAnn,
  ...standard,
  Content: 'größer ☃ 🦆',
  Metadata: '{"a":1}',
  MessageAttributes: { mention: { StringValues: ['bob', 'x y'] } },
});
const after = new Date();
const { MessageId } = sent;
const { ChannelMessage: message } = await messaging.getChannelMessage({ ...asAnn, MessageId, ChimeBearer: bob });
tell({
  step: 'sent',
  ...shown(sent),
  status: sent.$metadata.httpStatusCode,
  requestId: sent.$metadata.requestId,
  message: shown(message),
  dates: [message.CreatedTimestamp, message.LastUpdatedTimestamp].map(isDate),
  inTime: before <= message.CreatedTimestamp && message.CreatedTimestamp <= after,
});

await messaging.updateChannelMessage({ ...asAnn, MessageId, Content: 'größer still' });
const updated = await messaging.getChannelMessage({ ...asAnn, MessageId });
tell({ step: 'updated', message: shown(updated.ChannelMessage), date: isDate(updated.ChannelMessage.LastEditedTimestamp) });

await messaging.redactChannelMessage({ ...asAnn, MessageId });
const redacted = await messaging.getChannelMessage({ ...asAnn, MessageId });
tell({ step: 'redacted', message: shown(redacted.ChannelMessage) });

// Pages, and a Date in the query.
for (const number of [1, 2, 3, 4, 5]) await sendMessage(`number ${number}`);
const contents = ({ ChannelMessages }) => ChannelMessages.map(({ Content }) => Content ?? 'redacted');
const ascending = { ...asAnn, SortOrder: 'ASCENDING' };
const pages = []; // (the paginator writes into its input)
for await (const page of paginateListChannelMessages({ client: messaging, pageSize: 2 }, { ...ascending }))
  pages.push({ contents: contents(page), more: Boolean(page.NextToken) });
tell({ step: 'pages', pages });

const { ChannelMessages } = await messaging.listChannelMessages(ascending);
const third = ChannelMessages.find(({ Content }) => Content === 'number 3').CreatedTimestamp;
tell({
  step: 'cut',
  created: Object.fromEntries(ChannelMessages.map(({ Content, CreatedTimestamp }) => [Content ?? 'redacted', CreatedTimestamp])),
  since: contents(await messaging.listChannelMessages({ ...ascending, NotBefore: third })),
  until: contents(await messaging.listChannelMessages({ ...ascending, NotAfter: third })),
});

// Sending again with the same token is sending once.
const token = { ClientRequestToken: 'the-same' };
tell({ step: 'again', ids: [await sendMessage('once', token), await sendMessage('once', token)] });

// Refusals have names.
const stranger = { accessKeyId: 'AKIDNOBODY', secretAccessKey: 'of nobody' };
const forger = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: 'a guess' };
tell({
  step: 'refused',
  outsider: await refusal(messaging.sendChannelMessage({ ...asAnn, ...standard, Content: 'let me in', ChimeBearer: eve })),
  twice: await refusal(identity.createAppInstanceUser({ AppInstanceArn, AppInstanceUserId: 'ann', Name: 'Ann' })),
  nobody: await refusal(identity.describeAppInstanceUser({ AppInstanceUserArn: `${AppInstanceArn}/user/nobody` })),
  tooMany: await refusal(messaging.listChannelMessages({ ...asAnn, MaxResults: 51 })),
  stranger: await refusal(new ChimeSDKMessaging({ credentials: stranger }).describeChannel(asAnn)),
  forger: await refusal(new ChimeSDKMessaging({ credentials: forger }).describeChannel(asAnn)),
});

// A channel flow, from its making to its end.
const Processors = [
  {
    Name: 'moderate',
    Configuration: {
      Lambda: { ResourceArn: 'arn:aws:lambda:us-east-1:123456789012:function:moderate', InvocationType: 'ASYNC' },
    },
    ExecutionOrder: 1,
    FallbackAction: 'CONTINUE',
  },
];
const { ChannelFlowArn } = await messaging.createChannelFlow({ AppInstanceArn, Name: 'first', Processors });
const flow = await messaging.describeChannelFlow({ ChannelFlowArn });
await messaging.updateChannelFlow({ ChannelFlowArn, Name: 'second', Processors });
const listed = await messaging.listChannelFlows({ AppInstanceArn });
await messaging.associateChannelFlow({ ...asAnn, ChannelFlowArn });
const associated = await messaging.describeChannel(asAnn);
const using = await messaging.listChannelsAssociatedWithChannelFlow({ ChannelFlowArn });
const inUse = await refusal(messaging.deleteChannelFlow({ ChannelFlowArn }));
await messaging.disassociateChannelFlow({ ...asAnn, ChannelFlowArn });
const deleted = await messaging.deleteChannelFlow({ ChannelFlowArn });
tell({
  step: 'flow',
  ChannelFlowArn,
  Processors,
  flow: shown(flow.ChannelFlow),
  dates: [flow.ChannelFlow.CreatedTimestamp, flow.ChannelFlow.LastUpdatedTimestamp].map(isDate),
  listed: listed.ChannelFlows.map(({ Name }) => Name),
  associated: associated.Channel.ChannelFlowArn,
  using: using.Channels.map((channel) => channel.ChannelArn),
  inUse,
  deleted: deleted.$metadata.httpStatusCode,
  left: (await messaging.listChannelFlows({ AppInstanceArn })).ChannelFlows,
});

// Where live sessions connect to.
const { Endpoint } = await messaging.getMessagingSessionEndpoint({});
tell({ step: 'endpoint', Endpoint });
