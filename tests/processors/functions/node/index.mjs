// Lambda handlers for the tests of the local runtime.

export const echo = async (event, context) => {
  console.log('hello', event);
  return {
    event,
    pid: process.pid,
    requestId: context.awsRequestId,
    name: context.functionName,
    left: context.getRemainingTimeInMillis(),
    endpoint: process.env.AWS_ENDPOINT_URL_CHIME_SDK_MESSAGING,
  };
};

export const calls_back = (event, context, callback) => setImmediate(() => callback(null, { event }));

export const raises = async () => {
  throw new TypeError('no');
};

export const raises_later = async () => {
  setImmediate(() => {
    throw new TypeError('too late');
  });
  await new Promise(() => setInterval(() => {}, 60_000));
};

export const exits = async () => process.exit(3);

export const hangs = async () => {
  for (;;);
};

export const takes_too_much = async () => {
  const kept = [];
  for (;;) kept.push(new Array(100_000).fill({}).map(() => ({})));
};
