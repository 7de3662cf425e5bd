// A Lambda runtime client for Node.js (18 and later) with built-in modules alone, for where aws-lambda-ric is not
// installed: that one is built natively. Run as `node worker.mjs FILE HANDLER` in the function's folder.

import http from 'node:http';
import { pathToFileURL } from 'node:url';

const PREFIX = '/2018-06-01/runtime';
const [file, handlerName] = process.argv.slice(2);
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let requestId;

function call(method, path, body) {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': body.length };
    const request = http.request({ host, port, method, path: PREFIX + path, headers, agent }, (answer) => {
      const chunks = [];
      answer.on('data', (chunk) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function post(path, body) {
  const { status } = await call('POST', path, body);
  if (status !== 202) throw new Error(`The server refused what the function answered: ${status}.`);
}

function told(problem) {
  const isError = problem instanceof Error;
  const trace = isError ? String(problem.stack).split('\n') : [];
  return Buffer.from(
    JSON.stringify({
      errorType: isError ? problem.name : typeof problem,
      errorMessage: isError ? problem.message : String(problem),
      trace,
    }),
  );
}

// After a problem nobody caught the process is not to be trusted: say so and end.
async function end(problem) {
  console.error(problem);
  try {
    await post(requestId ? `/invocation/${requestId}/error` : '/init/error', told(problem));
  } finally {
    process.exit(1);
  }
}

function contextOf(headers) {
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    callbackWaitsForEmptyEventLoop: true,
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
  };
}

// A handler answers by the promise it returns, or by the callback it declares.
function run(handle, event, context) {
  return new Promise((resolve, reject) => {
    const callback = (problem, result) => (problem ? reject(problem) : resolve(result));
    const returned = handle(event, context, callback);
    if (typeof returned?.then === 'function') returned.then(resolve, reject);
    else if (handle.length < 3) resolve(returned);
  });
}

async function load() {
  const module = await import(pathToFileURL(file));
  const handle = module[handlerName] ?? module.default?.[handlerName];
  if (typeof handle !== 'function') throw new Error(`${handlerName} is not an exported function of ${file}`);
  return handle;
}

process.on('uncaughtException', end);
process.on('unhandledRejection', end);

const handle = await load();
for (;;) {
  const { status, headers, body } = await call('GET', '/invocation/next').catch(() => process.exit(1));
  if (status !== 200) process.exit(1);
  requestId = headers['lambda-runtime-aws-request-id'];
  // AWS's SDKs send it along, so that the callback belongs to the trace of the invocation.
  process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'];
  let path = `/invocation/${requestId}/response`;
  let answer;
  try {
    answer = Buffer.from(JSON.stringify(await run(handle, JSON.parse(body), contextOf(headers))) ?? 'null');
  } catch (problem) {
    console.error(problem);
    path = `/invocation/${requestId}/error`;
    answer = told(problem);
  }
  await post(path, answer).catch(() => process.exit(1));
  requestId = undefined;
}
