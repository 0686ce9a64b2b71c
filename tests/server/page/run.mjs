#!/usr/bin/env node
/* run.mjs - the page in a real Chromium: the cases of cases/, one line each, and `N passed, N failed, N skipped`.
 *
 *   cd tests/server/page && npm ci          (once; and Debian's chromium)
 *   node tests/server/page/run.mjs [--base URL --model NAME]
 *
 * Without --base every case runs against the fake server (fake.mjs). With it, the cases that any server must pass run against that
 * one, and those of hostile texts and failures against the fake server still; the page is then the real server's own in the first
 * kind and the tree's in the second ($TESSERA_SOURCE, or where this file stands). Start the real one with an empty queue: cases look at /slots and /metrics. */
import { readdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const usage = `usage: node run.mjs [--base http://127.0.0.1:PORT --model NAME] [options]
  --twin NAME        another device or copy of the model, for compare.identical (default: the model itself)
  --slow NAME        a model that takes seconds for an answer, for the cases that stop it (default: the twin)
  --key K            the server was started with this key
  --only REGEX, --not REGEX   cases by name
  --timeout S        of a case (default 120)
  --chromium FILE    (default $CHROMIUM or /usr/bin/chromium)
  --list             names only
exit status: 0 all passed or skipped, 1 something failed, 2 usage, 77 nothing could be run`;
let o;
try {
  o = parseArgs({ options: { base: { type: 'string' }, model: { type: 'string' }, twin: { type: 'string' }, slow: { type: 'string' }, key: { type: 'string' }, only: { type: 'string' }, not: { type: 'string' }, timeout: { type: 'string', default: '120' },
    chromium: { type: 'string', default: process.env.CHROMIUM || '/usr/bin/chromium' }, list: { type: 'boolean' }, help: { type: 'boolean' } } }).values;
} catch (e) { console.error(`${e.message}\n${usage}`); process.exit(2); }
if (o.help) { console.log(usage); process.exit(0); }
if (Boolean(o.base) !== Boolean(o.model)) { console.error(usage); process.exit(2); }

const here = path.dirname(fileURLToPath(import.meta.url));
const missing = !existsSync(path.join(here, 'node_modules/playwright-core')) ? 'skip: no playwright-core; cure: npm ci in tests/server/page' : !existsSync(o.chromium) ? `skip: no ${o.chromium}; cure: apt-get install chromium` : '';
if (missing) { console.log(`${missing}\n0 passed, 0 failed, 1 skipped`); process.exit(77); }

const { makeKit, Skip } = await import('./kit.mjs');
const { startFake } = await import('./fake.mjs');
const cases = [];
for (const f of (await readdir(path.join(here, 'cases'))).sort()) if (f.endsWith('.mjs')) cases.push(...(await import(pathToFileURL(path.join(here, 'cases', f)).href)).default);
const chosen = cases.filter(c => (!o.only || new RegExp(o.only).test(c.id)) && (!o.not || !new RegExp(o.not).test(c.id)));
if (new Set(cases.map(c => c.id)).size !== cases.length) throw new Error('two cases have one name');
if (o.list) { for (const c of chosen) console.log(`${c.fake ? 'fake' : 'any '} ${c.id.padEnd(22)} ${c.what}`); console.log(`${chosen.length} cases`); process.exit(0); }

const fakePeer = await startFake(), fakeServer = await startFake({ peers: [{ name: 'next-door', base: fakePeer.base }] });
fakePeer.allow(fakeServer.base);
const kits = { fake: await makeKit({ base: fakeServer.base, model: 'tessera-tiny-q8_0', twin: 'tessera-tiny-q8_0@npu-sim', slow: 'tessera-tiny-q8_0', chromium: o.chromium, fakeServer }) };
kits.any = o.base ? await makeKit({ base: o.base.replace(/\/$/, ''), model: o.model, twin: o.twin, slow: o.slow ?? o.twin ?? o.model, key: o.key, chromium: o.chromium }) : kits.fake;
for (const kit of new Set(Object.values(kits))) kit.peers = await kit.api('tessera/peers').then(x => x.peers.map(p => p.base), () => []);
const n = { PASS: 0, FAIL: 0, SKIP: 0 };
for (const c of chosen) {
  const kit = kits[c.fake ? 'fake' : 'any'], t0 = performance.now(), notes = [];
  let verdict = 'PASS', why = '', timer;
  kit.note = t => notes.push(t);
  try {
    await Promise.race([c.run(kit), new Promise((_, no) => { timer = setTimeout(() => no(new Error(`no end after ${o.timeout} s`)), 1000 * Number(o.timeout)); })]);
  } catch (e) {
    verdict = e instanceof Skip ? 'SKIP' : 'FAIL';
    why = String(e.message ?? e).replace(/\u001b\[\d+m/g, '').replace(/\s+/g, ' ').slice(0, 400);
  }
  clearTimeout(timer);
  await kit.end().catch(e => { if (verdict === 'PASS') [verdict, why] = ['FAIL', e.message]; });
  n[verdict]++;
  console.log(`${verdict} ${c.id}${why || notes.length ? `: ${[why, ...notes].filter(Boolean).join('; ')}` : ''} (${Math.round(performance.now() - t0)} ms)`);
}
for (const kit of new Set(Object.values(kits))) await kit.close();
await fakeServer.stop();
await fakePeer.stop();
console.log(`${n.PASS} passed, ${n.FAIL} failed, ${n.SKIP} skipped`);
process.exit(n.FAIL ? 1 : 0);
