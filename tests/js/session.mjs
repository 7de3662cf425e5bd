// A live session of amazon-chime-sdk-js: `node session.mjs USER_ARN [HOST:PORT]`; PREFETCH_SORT_BY in the environment
// makes it ask for prefetch in that order.
//
// Tells everything its observer hears and how start() ended; stops when its input is closed. Given HOST:PORT it
// connects there first instead of asking for the endpoint. After the last event nothing keeps the process alive, so
// that it ends says: no reconnect is planned.

import { ChimeSDKMessagingClient } from '@aws-sdk/client-chime-sdk-messaging';
import { DefaultMessagingSession, MessagingSessionConfiguration, NoOpLogger, PrefetchOn } from 'amazon-chime-sdk-js';
import { WebSocket } from 'ws';

import { tell } from './lines.mjs';

// What the library expects of a browser and Node.js has only from 22 (WebSocket) and 23 (CloseEvent) on.
globalThis.WebSocket ??= WebSocket;
globalThis.CloseEvent ??= class CloseEvent extends Event {
  constructor(type, { code = 0, reason = '', wasClean = false, ...init } = {}) {
    super(type, init);
    Object.assign(this, { code, reason, wasClean });
  }
};

const [userArn, endpoint] = process.argv.slice(2);
const configuration = new MessagingSessionConfiguration(userArn, null, endpoint, new ChimeSDKMessagingClient({}));
configuration.reconnectTimeoutMs = 60_000; // by default 10 s, in which a busy machine may not have restarted a server
if (process.env.PREFETCH_SORT_BY) {
  configuration.prefetchOn = PrefetchOn.Connect;
  configuration.prefetchSortBy = process.env.PREFETCH_SORT_BY;
}
const session = new DefaultMessagingSession(configuration, new NoOpLogger());

session.addObserver({
  messagingSessionDidStartConnecting: (reconnecting) => tell({ did: 'connect', reconnecting }),
  messagingSessionDidStart: () => tell({ did: 'start' }),
  messagingSessionDidReceiveMessage: ({ type, headers, payload }) =>
    tell({ did: 'receive', type, headers, payload: JSON.parse(payload) }),
  messagingSessionDidStop: ({ code, reason }) => {
    tell({ did: 'stop', code, reason });
    process.stdin.destroy();
  },
});

process.stdin.on('end', () => session.stop()).resume();

try {
  await session.start();
  tell({ did: 'resolve' });
} catch ({ code, reason }) {
  tell({ did: 'reject', code, reason });
  process.stdin.destroy();
}
