// Tells stories/one_story.py in Node.js: `node story.mjs`, with the endpoints and keys in the environment.

import { caller } from './calls.mjs';
import { answerRequests } from './requests.mjs';

await answerRequests({ call: caller({}) });
