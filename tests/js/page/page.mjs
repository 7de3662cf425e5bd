// A page that talks to the API from an origin of its own: it signs in, calls, listens, and shows what happened. Whoever
// drives the browser asks it by `window.answers`.

import * as sts from '@aws-sdk/client-sts';
import { listen, messagingClient, signIn, where } from 'example'; // of docs/how-to/clients.md

import { caller, refusal } from '../calls.mjs';

document.getElementById('origin').textContent = location.origin;
document.getElementById('endpoint').textContent = where.endpoint;

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
  if (answer) show('calls', what, `${status} ${shortened(JSON.stringify(answer))}`);
  else show('calls', what, `${status} ${shortened(message)}`, { refused: name });
  return outcome;
}

/** ARNs without what they all begin with. */
const shortened = (text) => text.replaceAll(/arn:aws:chime:[^/]*:app-instance\/[0-9a-f-]+\/?/g, '…/');

let call;
let client;
const events = [];
const waiting = [];

function happened(event) {
  const { headers, payload, code } = event;
  if (code) show('session', event.did, String(code));
  else show('session', headers['x-amz-chime-event-type'], payload?.Content ?? '');
  waiting.length ? waiting.shift()(event) : events.push(event);
}

window.answers = {
  /** Uses keys as they are. */
  async keys(credentials) {
    call = caller({ ...where, credentials });
    return {};
  },

  /** Signs in with the token of an identity provider, and calls with what comes of it. */
  async signIn({ token }) {
    client = messagingClient(() => token);
    call = caller({ ...where, credentials: client.config.credentials });
    try {
      const { expiration } = await signIn(token);
      return shown('AssumeRoleWithWebIdentity', { answer: { expiration }, status: 200 });
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
    const response = await fetch(where.endpoint + path, { method, body });
    const name = response.headers.get('x-amzn-errortype');
    const { Message } = await response.json();
    show('calls', `${method} ${path}`, `${response.status} ${Message}`, { refused: name });
    return { status: response.status, name, requestId: response.headers.get('x-amzn-requestid') };
  },

  /** Opens a live session, which ends this by its start or its stop. */
  async connect({ user }) {
    const observer = {
      messagingSessionDidReceiveMessage: ({ type, headers, payload }) =>
        happened({ type, headers, payload: JSON.parse(payload) }),
      messagingSessionDidStop: ({ code, reason }) => happened({ did: 'stop', code, reason }),
    };
    try {
      await listen(client, user, observer);
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
