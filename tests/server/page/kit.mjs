/* kit.mjs - what the cases have: a browser page on the server under test, and words for what they do with it. */
import { chromium } from 'playwright-core';
import { startFake } from './fake.mjs';

export class Skip extends Error {}
export const skip = why => { throw new Skip(why); };
export function check(ok, what) { if (!ok) throw new Error(what); }
export function same(got, want, what) {
  if (got === want) return;
  const a = String(got), b = String(want);
  let i = 0;
  while (i < Math.min(a.length, b.length) && a[i] === b[i]) i++;
  throw new Error(`${what}: from character ${i} on ${JSON.stringify(a.slice(i, i + 60))}, expected ${JSON.stringify(b.slice(i, i + 60))}`);
}
export const sleep = ms => new Promise(go => setTimeout(go, ms));
/** Ask again until it is so. */
export async function until(ask, what, ms = 10000) {
  for (const end = Date.now() + ms; ;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(25);
  }
}

/** o: {base, model, key, fake, executablePath}. `fake`: the base is the fake server. */
export async function makeKit(o) {
  const browser = await chromium.launch({ executablePath: o.chromium, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  let opened = [], servers = [], faults = [];
  const k = {
    ...o, browser,
    /** A page in a browser profile of its own, with the model chosen (slow: the one that can be stopped in time). Errors of scripts and breaches of the CSP fail the case at its end. */
    async open({ base = o.base, width = 1280, height = 800, hash = '', ready = true, slow = false, expect, ...context } = {}) {
      if (base === o.base) expect = { peers: k.peers, ...expect };
      const c = await browser.newContext({ viewport: { width, height }, permissions: ['clipboard-read', 'clipboard-write'], ...context });
      opened.push(c);
      const page = await c.newPage();
      page.setDefaultTimeout(15000);
      page.on('pageerror', e => faults.push(`error in the page: ${e.message}`));
      page.on('console', m => { if (/Content Security Policy|TrustedHTML|Trusted Type/i.test(m.text()) && !expect?.foreign) faults.push(`CSP: ${m.text()}`); });
      page.on('request', r => { if (![base, ...(expect?.peers ?? [])].some(x => new URL(x).origin === new URL(r.url()).origin) && /^https?:/.test(r.url()) && !expect?.foreign) faults.push(`the page asked ${r.url()}`); });
      if (o.key && base === o.base) await page.addInitScript(key => sessionStorage.setItem('tessera.key', key), o.key);
      await page.goto(`${base}/${hash}`);
      if (ready) {
        await page.waitForSelector('body[data-ready]');
        await page.waitForSelector('#model option', { state: 'attached' });
        if (base === o.base && o.model && !hash) await page.selectOption('#model', slow ? o.slow : o.model);
      }
      return page;
    },
    async startFake(options) {
      const s = await startFake(options);
      servers.push(s);
      return s;
    },
    /** The server's API, asked from outside the browser. */
    async api(path, body, base = o.base) {
      const r = await fetch(`${base}/${path}`, { method: body ? 'POST' : 'GET', body: body && JSON.stringify(body), headers: { 'Content-Type': 'application/json', ...(o.key ? { Authorization: `Bearer ${o.key}` } : {}) } });
      const text = await r.text();
      if (!r.ok) throw new Error(`${path}: ${r.status} ${text.slice(0, 200)}`);
      return /json/.test(r.headers.get('content-type')) ? JSON.parse(text) : text;
    },
    async end() {
      for (const c of opened) await c.close();
      for (const s of servers) await s.stop();
      const f = faults;
      opened = [], servers = [], faults = [];
      if (f.length) throw new Error(f[0]);
    },
    close: () => browser.close(),
  };
  return k;
}

/* What a person does. */
export async function send(page, text) {
  await page.fill('#text', text);
  await page.press('#text', 'Enter');
}
export const running = page => page.locator('#send[aria-label="Stop"]').waitFor();
export const ended = (page, ms = 120000) => page.locator('#send[aria-label="Send"]').waitFor({ timeout: ms });
export async function ask(page, text, ms = 120000) {
  const before = await page.locator('.msg').count();
  await send(page, text);
  await page.waitForFunction(n => document.querySelectorAll('.msg').length >= n + 2 && !document.querySelector('.msg.running') && document.getElementById('send').title.startsWith('Send'), before, { timeout: ms });
  await settled(page);
}
/** What was written last is in the database: a transaction that begins now ends after it. */
const settled = page => page.evaluate(() => new Promise((yes, no) => {
  const open = indexedDB.open('tessera', 1);
  open.onerror = no;
  open.onsuccess = () => {
    const tx = open.result.transaction(['conversations', 'messages'], 'readwrite');
    tx.objectStore('messages').count();
    tx.oncomplete = () => { open.result.close(); yes(); };
  };
}));
/** Settings as the panel writes them: {temperature: 0, max_tokens: 20, ...}. */
export async function set(page, settings) {
  const closed = await page.locator('#settings').isHidden();
  if (closed) await page.click('#settings-toggle');
  for (const [name, value] of Object.entries(settings)) {
    const field = page.locator(`#set-${name}`);
    if (name === 'format') await field.selectOption(value); else await field.fill(String(value));
  }
  if (closed) await page.getByRole('button', { name: 'Close the settings' }).click();
}
/** The messages of the conversation that is open, as the browser keeps them. */
export const kept = page => page.evaluate(async () => {
  const store = await import('/page/store.js');
  return store.messages(sessionStorage.getItem('tessera.conversation'));
});
export const lastAnswer = async page => { const m = (await kept(page)).at(-1); return m.variants[m.pick]; };
