/* fake.mjs - a server that speaks what the page hears, for tests and for work on the page. No model: what it answers is chosen by
 * words in the last message (see `scripts`). It can refuse, lie, break off, and go away, which a real server cannot on demand.
 *
 *   node tests/server/page/fake.mjs [--port 8081] [--key K]
 *
 * In tests: const s = await startFake({key, port}); s.base, s.requests, s.stop(). */
import http from 'node:http';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = process.env.TESSERA_SOURCE ?? path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..'), folder = path.join(root, 'src/server/page');
const types = { '.html': 'text/html; charset=utf-8', '.css': 'text/css; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.svg': 'image/svg+xml' };
/* as src/server/http.c sends them, and trusted types beside: the page has to do without any HTML from text */
const headers = peers => ({
  'Content-Security-Policy': `default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; object-src 'none'; connect-src ${["'self'", ...peers.map(p => p.base)].join(' ')}; require-trusted-types-for 'script'`,
  'X-Content-Type-Options': 'nosniff', 'X-Frame-Options': 'DENY', 'Referrer-Policy': 'no-referrer', 'Cross-Origin-Resource-Policy': 'same-origin', 'Cross-Origin-Opener-Policy': 'same-origin', 'Cache-Control': 'no-cache',
});

export const hostile = [
  '<script>window.pwned = 1</script>', '<img src=x onerror="window.pwned = 2">', '**<b onclick="window.pwned=3">bold</b>**', '[click](javascript:window.pwned=4)', '[click]( JaVaScRiPt:alert(1))',
  '[data](data:text/html,<script>1</script>)', '[user](https://user:pass@evil.example/) [name](https://good.example@evil.example/)', '![pixel](https://evil.example/pixel.png)', '<svg onload="window.pwned=5">', '`<iframe src="javascript:1">`',
  '| <script>window.pwned=6</script> | b |\n|---|---|\n| <img src=x onerror=window.pwned=7> | c |', '```"><img src=x onerror=window.pwned=8>\n</code></pre><script>window.pwned=9</script>\n```',
  '# <style>*{display:none}</style>', '> <base href="https://evil.example/">', '1. <form action="https://evil.example"><input></form>', '<a href="vbscript:1">x</a> &lt;script&gt; \u202egnp.exe \u0000',
].join('\n\n');

const story = `The lighthouse stood where the land gave up. **Every evening** the keeper climbed its *one hundred and twelve* steps.

## What she saw

1. A ship, late and low in the water.
2. Gulls:
   - three of them grey,
   - one white as \`#ffffff\`.
3. The first star.

| hour | wind | light |
|:-----|:----:|------:|
| 18   | W    |   1.0 |
| 19   | NW   |   0.8 |

\`\`\`c
for (int i = 0; i < 112; i++)
    climb(&keeper); /* one step at a time */
\`\`\`

> "It only has to be seen once," she said.

More at https://example.org/lighthouses, or in [the log](https://example.org/log).`;

const words = 'the sea keeps its own hours and the light answers each wave with one slow turn while gulls sleep on the rail'.split(' ');
function longText(tokens) {
  const out = [];
  for (let i = 0; i < tokens; i++) out.push(i % 400 === 0 ? `${i ? '\n\n' : ''}## Part ${i / 400 + 1}\n\n` : i % 400 === 150 ? '\n\n```c\n' : i % 400 === 250 ? '\n```\n\n' : i % 400 > 150 && i % 400 < 250 ? (i % 10 ? `x${i} ` : `+ 1;\n`)
    : i % 400 > 300 ? (i % 8 ? `${words[i % words.length]} ` : '\n- ') : i % 60 === 0 ? '.\n\n' : i % 13 === 0 ? `**${words[i % words.length]}** ` : `${words[i % words.length]} `);
  return out;
}
const tokensOf = text => text.match(/\s*\S{1,4}|\s+/g) ?? [];

/* what is answered, by words of the last message: {pieces, ms between them, think, status, error, die: after so many pieces, held: but
 * not before cut() is called, wait} */
const scripts = [
  [/hostile/, () => ({ pieces: tokensOf(hostile), ms: 1 })],
  [/two thousand/, () => ({ pieces: longText(2000), ms: 4 })],
  [/for ever/, () => ({ pieces: longText(100000), ms: 30 })],
  [/too long/, () => ({ status: 400, error: { message: 'The prompt has 5000 tokens, the context 4096: shorten it, or start with a larger --ctx', type: 'invalid_request_error', param: 'messages', code: 'context_length_exceeded' } })],
  [/full house/, () => ({ status: 429, error: { message: 'All places are taken <img src=x onerror=window.pwned=10>', type: 'rate_limit_error', param: null, code: null } })],
  [/vanish/, () => ({ pieces: ['x'], ms: 2, die: 0 })],
  [/break off/, () => ({ pieces: tokensOf(story), ms: 2, die: 20, held: true })],
  [/fail late/, () => ({ pieces: tokensOf(story), ms: 2, errorAt: 20 })],
  [/no power/, () => ({ pieces: tokensOf('No power meter here.'), ms: 2, joules: null })],
  [/bare/, () => ({ pieces: tokensOf('A server of another make.'), ms: 2, bare: true })],
  [/think/, () => ({ think: tokensOf('The reader wants a thought. <script>window.pwned=11</script> Here is one.'), pieces: tokensOf('Thought through.'), ms: 5 })],
  [/wait/, () => ({ pieces: tokensOf('That took a while.'), ms: 5, wait: 1500 })],
  [/salty/, () => ({ pieces: tokensOf('Rivers dissolve a little of every rock they pass and carry it down. The sun takes the water back, the salt stays. After some *four billion years* of this, a litre of sea holds about **35 grams**.'), ms: 12 })],
  [/wrong (\w+)/, () => ({ pieces: tokensOf('Something is off.'), ms: 2 })],
  [/count/, () => ({ pieces: tokensOf('one two three four five six seven eight nine ten'), ms: 5 })],
];

function ledger(id, device) {
  const sim = device !== 'cpu', rows = [];
  for (const [op, types, ns, bytes] of [['ffn gate, up', 'q8_0 q8_0', 41e6, 40e6], ['ffn down', 'q8_0', 21e6, 20e6], ['attention q, k, v', 'q8_0', 12e6, 12e6], ['attention out', 'q8_0', 7e6, 6e6], ['output', 'q8_0', 16e6, 14e6]])
    rows.push({ op, types, device, evidence: sim ? 'simulated' : 'measured', calls: 240, tokens: 260, weight_bytes: bytes, act_bytes: bytes / 90, device_ns: sim ? ns * 2.4 : ns, host_ns: sim ? ns / 12 : 0,
      bound_ns: sim ? ns * 1.4 : ns * 0.8, checked: sim ? 240 * 31 : 0, differ: 0, sum_device: `${op.length}e2d46798d1381`, sum_cpu: `${op.length}e2d46798d1381` });
  for (const [op, ns] of [['attention', 9e6], ['norm', 1.4e6], ['rope', 0.8e6], ['embed', 0.1e6]])
    rows.push({ op, types: '', device: 'cpu', evidence: 'measured', calls: 240, tokens: 260, weight_bytes: 0, act_bytes: 0, device_ns: ns, host_ns: 0, bound_ns: 0, checked: 0, differ: 0, sum_device: '0', sum_cpu: '0' });
  const all = rows.reduce((s, r) => s + r.device_ns + r.host_ns, 0);
  for (const r of rows) r.share = (r.device_ns + r.host_ns) / all;
  return { id, device, rows, note: sim ? 'Times of npu-sim are the simulated NPU\'s.' : '' };
}

/** peers: [{name, base}]; origin: pages of this origin may ask, too; twist: every answer has another word in it. */
export async function startFake({ port = 0, key = null, evil = false, log = false, peers = [], origin = null, twist = false } = {}) {
  const nasty = evil ? '<img src=x onerror=window.pwned=20>' : '';
  const models = [{ id: 'tessera-tiny-q8_0', device: 'cpu' }, { id: 'tessera-tiny-q8_0@npu-sim', device: 'npu-sim' }];
  if (evil) models.push({ id: nasty, device: nasty });
  const slots = [0, 1, 2, 3].map(id => ({ id, n_ctx: 4096, is_processing: false, id_task: -1, model: models[0].id + nasty, n_prompt: 0, n_prompt_done: 0, n_decoded: 0 }));
  const m = { prompt: 0, predicted: 0 }, ledgers = new Map(), requests = [], sockets = new Set();
  let task = 0, rate = 0, told = false;

  const json = (res, status, body, more = {}) => { res.writeHead(status, { 'Content-Type': 'application/json', ...more }); res.end(JSON.stringify(body)); };
  const sleep = ms => new Promise(go => setTimeout(go, ms));

  async function chat(req, res) {
    let raw = '';
    for await (const c of req) raw += c;
    const body = JSON.parse(raw), said = body.messages.at(-1).content;
    requests.push({ path: req.url, body, headers: req.headers });
    const format = body.response_format?.json_schema?.schema;
    if (format && JSON.stringify(format).includes('uniqueItems'))
      return json(res, 400, { error: { message: 'refused at #/uniqueItems: this keyword cannot be kept by an automaton', type: 'invalid_request_error', param: 'response_format.json_schema.schema', code: null } });
    if (body.temperature > 2) return json(res, 400, { error: { message: 'temperature: 0 to 2', type: 'invalid_request_error', param: 'temperature', code: null } });
    const s = scripts.find(([re]) => re.test(said))?.[1]() ?? { pieces: tokensOf(story), ms: 6 };
    if (s.status) return json(res, s.status, { error: s.error });
    if (format) s.pieces = tokensOf('{"name":"Ada","year":1815}');
    if (twist) s.pieces = tokensOf(s.pieces.join('').replace('hundred', 'thousand'));
    const limit = body.max_tokens ?? 1e9, pieces = s.pieces.slice(0, limit), end = pieces.length < s.pieces.length ? 'length' : 'stop';
    const model = models.find(x => x.id === body.model) ?? models[0], n_prompt = Math.ceil(raw.length / 4), t0 = performance.now();
    const slot = slots.find(x => !x.is_processing);
    if (slot) Object.assign(slot, { is_processing: true, id_task: ++task, n_prompt, n_prompt_done: 0, n_decoded: 0, n_ctx: 4096, model: model.id + nasty });
    let gone = false, first = 0, n = 0;
    res.on('close', () => { gone = true; if (slot) Object.assign(slot, { is_processing: false, id_task: -1 }); });
    const id = `chatcmpl-${Math.random().toString(36).slice(2)}`, head = { id, object: 'chat.completion.chunk', created: 1, model: body.model };
    if (body.stream) res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
    const put = x => body.stream && res.write(`data: ${JSON.stringify(x)}\n\n`);
    put({ ...head, choices: [{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }] });
    for (let k = 0; s.wait && k < 10 && !gone; k++) {
      await sleep(s.wait / 10);
      if (slot) slot.n_prompt_done = Math.round(n_prompt * (k + 1) / 10);
      if (body.stream) res.write(': ping\n\n');
    }
    if (slot) slot.n_prompt_done = n_prompt;
    const all = [...(s.think ?? []).map(t => ['reasoning_content', t]), ...pieces.map(t => ['content', t])], began = performance.now();
    for (const [kind, t] of all) {
      const late = began + n * s.ms - performance.now(); // at a steady pace, whatever timers do
      if (body.stream && late > 1) await sleep(late);
      else if (n % 50 === 0) await sleep(0);
      if (gone) return undefined;
      if (n === s.die) {
        while (s.held && !told && !gone) await sleep(5);
        told = false;
        return res.destroy();
      }
      if (n === s.errorAt) { res.write(`data: ${JSON.stringify({ error: { message: 'The device is lost', type: 'server_error', code: null, param: null } })}\n\n`); return res.end(); }
      first ||= performance.now() - t0;
      n++;
      if (slot) slot.n_decoded = n;
      rate = 1000 / Math.max(1, s.ms);
      put({ ...head, choices: [{ index: 0, delta: { [kind]: t }, finish_reason: null }] });
    }
    rate = 0;
    m.prompt += n_prompt;
    m.predicted += n;
    const ms = Math.max(1, performance.now() - t0 - first), simulated = model.device !== 'cpu', ledger_id = `l${task}`;
    ledgers.set(ledger_id, ledger(ledger_id, model.device));
    if (/wrong bits/.test(said)) ledgers.get(ledger_id).rows[1].differ = 3;
    if (/in company/.test(said)) for (const r of ledgers.get(ledger_id).rows) r.times = 'derived';
    if (/wrong sums/.test(said)) ledgers.get(ledger_id).rows[2].sum_cpu = 'f00';
    if (evil) for (const r of ledgers.get(ledger_id).rows) { r.op += nasty; r.types = nasty; r.device += nasty; r.evidence += nasty; r.times = nasty; }
    const usage = { prompt_tokens: n_prompt, completion_tokens: n, total_tokens: n_prompt + n, prompt_tokens_details: { cached_tokens: body.cache_prompt === false ? 0 : Math.min(8, n_prompt - 1) } };
    const timings = { prompt_n: n_prompt, prompt_ms: first, prompt_per_second: 1000 * n_prompt / first, predicted_n: n, predicted_ms: ms, predicted_per_second: 1000 * n / ms, cache_n: 0 };
    const tessera = { device: model.device, evidence: simulated ? 'simulated' : 'measured', cpu_level: 'avx2', threads: 2, ttft_ms: first, ledger_id, joules: s.joules === null || simulated ? null : 14.2 * (first + ms) / 1000, watts_source: simulated ? null : 'RAPL package' + nasty };
    const extra = s.bare ? {} : { timings, tessera };
    if (!body.stream) return json(res, 200, { ...head, object: 'chat.completion', choices: [{ index: 0, message: { role: 'assistant', content: pieces.join(''), refusal: null }, finish_reason: end }], usage, ...extra });
    put({ ...head, choices: [{ index: 0, delta: {}, finish_reason: end }] });
    put({ ...head, choices: [], usage, ...extra });
    res.end('data: [DONE]\n\n');
    return undefined;
  }

  const list = names => ({ object: 'list', data: names.map(x => ({ id: x.id, object: 'model', created: 1, owned_by: 'tessera', loaded: true, meta: { n_ctx: 4096, n_params: 5246208, size: 5648032, device: x.device } })) });
  const get = {
    '/health': res => json(res, 200, { status: 'ok' }),
    '/v1/models': res => json(res, 200, list(models)),
    '/props': res => json(res, 200, { default_generation_settings: { n_ctx: 4096, temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, repeat_penalty: 1, seed: 4294967295 }, total_slots: 4, model: models[0].id, chat_template: '{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}' + nasty }),
    '/slots': res => json(res, 200, slots),
    '/tessera/peers': res => json(res, 200, { peers: peers.map(p => ({ ...p, name: p.name + nasty })) }),
    '/metrics': res => {
      res.writeHead(200, { 'Content-Type': 'text/plain; version=0.0.4' });
      res.end([['prompt_tokens_total', 'counter', 'Tokens of prompts computed' + nasty, m.prompt], ['tokens_predicted_total', 'counter', 'Tokens generated', m.predicted], ['requests_processing', 'gauge', 'Requests that are computed', slots.filter(s => s.is_processing).length],
        ['requests_deferred', 'gauge', 'Requests that wait', 0], ['kv_bytes', 'gauge', 'Bytes of keys and values', 2359296]].map(([n, t, help, v]) => `# HELP tessera_${n} ${help}\n# TYPE tessera_${n} ${t}\ntessera_${n} ${v}\n`).join(''));
    },
    '/tessera/live': async res => {
      res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
      let gone = false;
      res.on('close', () => { gone = true; });
      while (!gone) {
        const busy = slots.filter(s => s.is_processing).length;
        res.write(`data: ${JSON.stringify({ tok_s: busy ? rate * (0.95 + Math.random() / 10) : 0, prompt_tok_s: 0, evidence: 'measured', processing: busy, waiting: 0, kv_bytes: 2359296 * (1 + busy), watts: (busy ? 14.2 : 6.1) + Math.random(), watts_source: 'RAPL package' + nasty })}\n\n`);
        await sleep(250);
      }
    },
  };

  const server = http.createServer(async (req, res) => {
    const where = new URL(req.url, 'http://x').pathname;
    if (log) console.log(req.method, req.url);
    try {
      if (origin && req.headers.origin === origin) {
        res.setHeader('Access-Control-Allow-Origin', origin);
        if (req.method === 'OPTIONS') { res.writeHead(204, { 'Access-Control-Allow-Methods': 'GET, POST', 'Access-Control-Allow-Headers': 'authorization, content-type' }); return res.end(); }
      } else if (req.headers.origin && req.headers.origin !== `http://${req.headers.host}`) return json(res, 403, { error: { message: 'This origin may not use the server' } });
      if (where === '/' || where.startsWith('/page/')) {
        const name = where === '/' ? 'index.html' : where.slice(6);
        if (!/^[\w-]+\.(html|js|css|svg)$/.test(name)) return json(res, 404, { error: { message: 'no such page' } });
        const data = await readFile(path.join(folder, name)), etag = `"${createHash('sha256').update(data).digest('hex').slice(0, 16)}"`;
        if (req.headers['if-none-match'] === etag) { res.writeHead(304, { ...headers(peers), ETag: etag }); return res.end(); }
        res.writeHead(200, { ...headers(peers), ETag: etag, 'Content-Type': types[path.extname(name)] });
        return res.end(data);
      }
      if (key && where !== '/health' && req.headers.authorization !== `Bearer ${key}`) return json(res, 401, { error: { message: 'Invalid API key', type: 'authentication_error', param: null, code: 'invalid_api_key' } });
      if (req.method === 'POST' && where === '/v1/chat/completions') return await chat(req, res);
      const led = /^\/tessera\/ledger\/(\w+)$/.exec(where);
      if (led) return ledgers.has(led[1]) ? json(res, 200, ledgers.get(led[1])) : json(res, 404, { error: { message: 'no such ledger' } });
      if (req.method === 'GET' && get[where]) return await get[where](res);
      return json(res, 404, { error: { message: `no ${where} here`, type: 'not_found_error' } });
    } catch (e) {
      if (!res.headersSent) json(res, e.code === 'ENOENT' ? 404 : 500, { error: { message: String(e.message) } });
      return undefined;
    }
  });
  server.on('connection', s => { sockets.add(s); s.on('close', () => sockets.delete(s)); });
  await new Promise((yes, no) => { server.on('error', no); server.listen(port, '127.0.0.1', yes); });
  return {
    base: `http://127.0.0.1:${server.address().port}`, port: server.address().port, requests, ledgers, slots, cut: () => { told = true; }, allow: page => { origin = page; },
    stop: () => new Promise(done => { server.close(done); for (const s of sockets) s.destroy(); }),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values: o } = parseArgs({ options: { port: { type: 'string', default: '8081' }, key: { type: 'string' }, evil: { type: 'boolean' } } });
  const s = await startFake({ port: Number(o.port), key: o.key, evil: o.evil, log: true });
  console.log(`${s.base}/`);
}
