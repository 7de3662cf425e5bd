// Shows page/ in headless Chromium and passes it what is asked: `node browser.mjs ENDPOINT SPKI CHROMIUM`.
//
// The page is served from an origin of its own. Its way into the API is the example of docs/how-to/clients.md. SPKI is the
// SHA-256 of the server's public key in base64, by which the browser trusts its certificate.

import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { context } from 'esbuild';
import { chromium } from 'playwright-core';

import { answerRequests } from './requests.mjs';

const [endpoint, spki, executablePath] = process.argv.slice(2);
const folder = fileURLToPath(new URL('page', import.meta.url));

const example = {
  name: 'the example for browsers',
  setup(build) {
    build.onResolve({ filter: /^example$/ }, () => ({ path: 'example', namespace: 'docs' }));
    build.onLoad({ filter: /.*/, namespace: 'docs' }, async () => {
      const text = await readFile(new URL('../../docs/how-to/clients.md', import.meta.url), 'utf8');
      const [, block] = text.match(/^```js\n(\/\/ In a browser\n.*?)^```$/ms);
      return { contents: block.replace('https://127.0.0.1:8600', endpoint), resolveDir: folder };
    });
  },
};
const site = await context({
  entryPoints: [`${folder}/page.mjs`],
  outfile: `${folder}/page.js`,
  bundle: true,
  plugins: [example],
  format: 'esm',
  mainFields: ['browser', 'module', 'main'], // the SDK's own code for browsers also where amazon-chime-sdk-js requires it
  define: { global: 'globalThis' },
  write: false,
});
await site.rebuild(); // what is wrong with it is thrown here
const { port } = await site.serve({ servedir: folder, host: '127.0.0.1', port: 0 });
const browser = await chromium.launch({
  executablePath,
  args: ['--disable-gpu', '--disable-quic', `--ignore-certificate-errors-spki-list=${spki}`],
});
const page = await browser.newPage({ viewport: { width: 1100, height: 800 } });
page.on('pageerror', (error) => console.error(error));
page.on('console', (message) => console.error(`${message.type()}: ${message.text()}`));
await page.goto(`http://localhost:${port}/`, { waitUntil: 'load' });
await page.waitForFunction(() => window.answers);
page.setDefaultTimeout(0); // from here on the test is who loses patience

const passedOn = (ask) => (details) => page.evaluate(([name, given]) => window.answers[name](given), [ask, details]);
await answerRequests({
  ...Object.fromEntries(['keys', 'signIn', 'call', 'request', 'connect', 'hear'].map((ask) => [ask, passedOn(ask)])),
  text: async () => ({ text: await page.innerText('body') }),
  screenshot: async ({ path }) => void (await page.screenshot({ path, fullPage: true })) ?? {},
});
await browser.close();
await site.dispose();
