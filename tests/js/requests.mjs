// How a test asks a program here: lines of JSON on standard input, each with the name of one of `answers` in `ask`; what
// that answers is told in one line. Dates travel as {"$date": text}. Ends with its input.

import { createInterface } from 'node:readline';

import { tell } from './lines.mjs';

export async function answerRequests(answers) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { ask, ...details } = JSON.parse(line);
    tell(await answers[ask](details));
  }
}
