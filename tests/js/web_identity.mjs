// Signs in with an identity provider's token, as a page does, and lists a user's channels; then as somebody else.
//   node web_identity.mjs URL ROLE_ARN TOKEN APP_INSTANCE_ARN USER_ARN OTHER_ARN
import { ChimeSDKMessagingClient, ListChannelsCommand } from '@aws-sdk/client-chime-sdk-messaging';
import { fromWebToken } from '@aws-sdk/credential-provider-web-identity';

const [endpoint, roleArn, webIdentityToken, AppInstanceArn, ...bearers] = process.argv.slice(2);
const region = 'us-east-1';
const credentials = fromWebToken({ roleArn, roleSessionName: 'web', webIdentityToken, clientConfig: { endpoint, region } });
const messaging = new ChimeSDKMessagingClient({ endpoint, region, credentials });
const outcomes = [];
for (const ChimeBearer of bearers) {
  try {
    outcomes.push((await messaging.send(new ListChannelsCommand({ AppInstanceArn, ChimeBearer }))).Channels.length);
  } catch (error) {
    outcomes.push(error.name);
  }
}
console.log(JSON.stringify(outcomes));
