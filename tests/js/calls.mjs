// Calls of the AWS SDK for JavaScript v3, the same in Node.js and in a browser: an operation by its name, and what came of
// it in JSON.

import * as identity from '@aws-sdk/client-chime-sdk-identity';
import * as messaging from '@aws-sdk/client-chime-sdk-messaging';

/** A function that calls, through clients with this configuration; `headers` are added to the request and signed. */
export function caller(configuration) {
  const services = {
    'chime-sdk-identity': [identity, new identity.ChimeSDKIdentityClient(configuration)],
    'chime-sdk-messaging': [messaging, new messaging.ChimeSDKMessagingClient(configuration)],
  };
  return async ({ service, operation, input, headers }) => {
    const [sdk, client] = services[service];
    try {
      const command = new sdk[`${operation}Command`](withDates(input));
      if (headers) command.middlewareStack.add(adding(headers), { step: 'build' });
      const { $metadata, ...answer } = await client.send(command);
      return { answer: withoutDates(answer), status: $metadata.httpStatusCode, requestId: $metadata.requestId };
    } catch (error) {
      return refusal(error, sdk);
    }
  };
}

const adding = (headers) => (next) => (details) => {
  Object.assign(details.request.headers, headers);
  return next(details);
};

/** What an exception tells. `typed`: it is one of the SDK's own classes, of that name. */
export function refusal(error, sdk) {
  const { name, message, Code, $metadata } = error;
  if (!$metadata?.httpStatusCode) throw error; // never got an answer
  return {
    name,
    message,
    code: Code,
    typed: sdk[name] !== undefined && error instanceof sdk[name],
    status: $metadata.httpStatusCode,
    requestId: $metadata.requestId,
  };
}

const mapped = (value, change) =>
  change(value) ??
  (Array.isArray(value)
    ? value.map((each) => mapped(each, change))
    : value instanceof Object
      ? Object.fromEntries(Object.entries(value).map(([name, member]) => [name, mapped(member, change)]))
      : value);

const withDates = (value) => mapped(value, (each) => (each?.$date ? new Date(each.$date) : undefined));
const withoutDates = (value) => mapped(value, (each) => (each instanceof Date ? { $date: each.toISOString() } : undefined));
