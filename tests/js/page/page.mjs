// A page that talks to the API at `?endpoint=` from an origin of its own: it signs in, calls, listens, and shows what
// happened. Whoever drives the browser asks it by `window.answers`.

import { ChimeSDKMessagingClient } from '@aws-sdk/client-chime-sdk-messaging';
import * as sts from '@aws-sdk/client-sts';
import { DefaultMessagingSession, MessagingSessionConfiguration, NoOpLogger } from 'amazon-chime-sdk-js';

import { caller, refusal } from '../calls.mjs';

const endpoint = new URLSearchParams(location.search).get('endpoint');
const region = 'us-east-1';

document.getElementById('origin').textContent = location.origin;
document.getElementById('endpoint').textContent = endpoint;

/** A line of a list: what was done, in bold, and what came of it. */
function show(list, what, details, { refused = '' } = {}) {
  const line = document.createElement('li');
  const name = Object.assign(document.createElement('b'), { textContent: what });
  line.append(name, ' ');
  if (refused) {
    line.className = 'refused';
    line.append(Object.assign(document.createElement('b'), { textContent: refused }), ' ');
  }
  line.append(details);
  document.getElementById(list).append(line);
}

/** An outcome of calls.mjs, shown and passed on. */
function shown(what, outcome) {
  const { answer, name, message, status } = outcome;
  if (answer) show('calls', what, `${status} ${JSON.stringify(answer)}`);
  else show('calls', what, `${status} ${message}`, { refused: name });
  return outcome;
}

let credentials;
let call;
const events = [];
const waiting = [];

function use(taken) {
  credentials = taken;
  call = caller({ endpoint, region, credentials });
}

function happened(event) {
  const { headers, payload, code } = event;
  if (code) show('session', event.did, String(code));
  else show('session', headers['x-amz-chime-event-type'], payload?.Content ?? '');
  waiting.length ? waiting.shift()(event) : events.push(event);
}

window.answers = {
  /** Uses keys as they are. */
  async keys(given) {
    use(given);
    return {};
  },

  /** Takes a role with the token of an identity provider, and uses the credentials that come of it. */
  async signIn({ role, token, session }) {
    const client = new sts.STSClient({ endpoint, region });
    const asked = { RoleArn: role, RoleSessionName: session, WebIdentityToken: token };
    try {
      const { Credentials, AssumedRoleUser, $metadata } = await client.send(new sts.AssumeRoleWithWebIdentityCommand(asked));
      const { AccessKeyId: accessKeyId, SecretAccessKey: secretAccessKey, SessionToken: sessionToken } = Credentials;
      use({ accessKeyId, secretAccessKey, sessionToken, expiration: Credentials.Expiration });
      return shown('AssumeRoleWithWebIdentity', { answer: AssumedRoleUser, status: $metadata.httpStatusCode });
    } catch (error) {
      return shown('AssumeRoleWithWebIdentity', refusal(error, sts));
    }
  },

  /** A call through the SDK. */
  async call(details) {
    return shown(details.operation, await call(details));
  },

  /** A request without the SDK, and what a page can read of its answer. */
  async request({ method, path, body }) {
    const response = await fetch(endpoint + path, { method, body });
    const name = response.headers.get('x-amzn-errortype');
    const { Message } = await response.json();
    show('calls', `${method} ${path}`, `${response.status} ${Message}`, { refused: name });
    return { status: response.status, name, requestId: response.headers.get('x-amzn-requestid') };
  },

  /** Opens a live session, which ends this by its start or its stop. */
  async connect({ user }) {
    const client = new ChimeSDKMessagingClient({ endpoint, region, credentials });
    const session = new DefaultMessagingSession(new MessagingSessionConfiguration(user, null, undefined, client), new NoOpLogger());
    session.addObserver({
      messagingSessionDidReceiveMessage: ({ type, headers, payload }) =>
        happened({ type, headers, payload: JSON.parse(payload) }),
      messagingSessionDidStop: ({ code, reason }) => happened({ did: 'stop', code, reason }),
    });
    try {
      await session.start();
      return { did: 'start' };
    } catch ({ code, reason }) {
      return { did: 'reject', code, reason };
    }
  },

  /** The next thing that happens in the session. */
  async hear() {
    return events.shift() ?? new Promise((resolve) => waiting.push(resolve));
  },
};
