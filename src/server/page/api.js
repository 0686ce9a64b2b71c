/* api.js - the server, as this page calls it: requests, errors, keys, streams of events.
 *
 * A base is '' for this server, or what GET /tessera/peers names for another one that it was told of at its start: a URL, or a
 * path of this server. The page speaks to nobody else, and its Content-Security-Policy would not let it. The key is for this server
 * alone. */

/** An answer that says no: {"error": {message, type, param, code}}. */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.message || `The server answers ${status}`);
    Object.assign(this, { status, type: error?.type, param: error?.param ?? null, code: error?.code ?? null });
  }
}
/** Nobody answers. */
export class Offline extends Error {
  constructor(base) {
    super(base ? `${base} does not answer this page: it is down, or it was not started with --allow-origin ${location.origin}`
      : 'The server does not answer.');
  }
}
/** An answer that ended in the middle. */
export class Cut extends Error {
  constructor() { super('The connection ended in the middle of the answer.'); }
}

const hooks = { askKey: async () => null, offline: () => {}, cut: () => {} };
/** askKey(refused before?) gives a key or null; offline() and cut() hear of requests that came to nothing. */
export const listen = given => Object.assign(hooks, given);

let key = null, asking = null;
try { key = sessionStorage.getItem('tessera.key'); } catch { /* not kept */ }
function newKey(used) {
  if (used !== key) return Promise.resolve(key); // another request has asked meanwhile
  asking ??= hooks.askKey(used !== null).then(k => {
    asking = null;
    if (k === null) return null;
    key = k;
    try { sessionStorage.setItem('tessera.key', k); } catch { /* not kept */ }
    return k;
  });
  return asking;
}

const url = (base, path) => new URL(base ? `${base.replace(/^\/+|\/+$/g, '')}/${path}` : path, document.baseURI);

/** The response, if it says yes; else Refused, Offline, or an AbortError. `quiet`: ask nobody for a key. */
export async function request(path, { base = '', body, signal, quiet = false } = {}) {
  for (;;) {
    const used = base === '' ? key : null, headers = {};
    if (used !== null) headers.Authorization = `Bearer ${used}`;
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    let response;
    try {
      response = await fetch(url(base, path), { method: body === undefined ? 'GET' : 'POST', headers, signal, cache: 'no-store',
        body: body === undefined ? undefined : JSON.stringify(body), credentials: 'omit', redirect: 'error' });
    } catch (e) {
      if (e.name === 'AbortError') throw e;
      if (base === '') hooks.offline();
      throw new Offline(base);
    }
    if (response.ok) return response;
    let error = null;
    try { error = (await response.json()).error; } catch { /* not ours, or none */ }
    if (typeof error === 'string') error = { message: error };
    if (response.status === 401 && base === '' && !quiet && await newKey(used) !== null) continue;
    throw new Refused(response.status, error);
  }
}

async function read(promise) {
  try { return await promise; } catch (e) {
    if (e.name === 'AbortError' || e instanceof SyntaxError) throw e;
    hooks.cut();
    throw new Cut();
  }
}
export const getJson = async (path, options) => read((await request(path, options)).json());
export const getText = async (path, options) => read((await request(path, options)).text());

/** The data of server-sent events, one text each. */
async function* events(response) {
  // no pipe between: what waits in one is lost when the connection breaks
  const reader = response.body.getReader(), decoder = new TextDecoder();
  let rest = '', data = [];
  try {
    for (;;) {
      const { value, done } = await read(reader.read());
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
      rest = lines.pop();
      for (let line of lines) {
        if (line.endsWith('\r')) line = line.slice(0, -1);
        if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
        else if (line === '' && data.length) { yield data.join('\n'); data = []; }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** An answer as it comes: the chunks of POST /v1/chat/completions. Ends after [DONE], or throws. */
export async function* chat(body, options) {
  const response = await request('v1/chat/completions', { ...options, body: { ...body, stream: true, stream_options: { include_usage: true } } });
  for await (const data of events(response)) {
    if (data === '[DONE]') return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Refused(chunk.error.status ?? 500, chunk.error);
    yield chunk;
  }
  hooks.cut();
  throw new Cut();
}

/** What the server does now, four times a second, until the signal; nothing where it cannot say. */
export async function live(signal, each) {
  try {
    for await (const data of events(await request('tessera/live', { signal, quiet: true }))) each(JSON.parse(data));
  } catch { /* it ends when it ends: figures come with the answer too */ }
}

/** Everything that can be compared: the models of this server and of its peers, [{name, base, model}]. */
export async function targets() {
  const here = (await getJson('v1/models')).data.map(m => ({ name: m.id, base: '', model: m.id }));
  let peers = [];
  try { ({ peers } = await getJson('tessera/peers')); } catch (e) { if (e instanceof Offline) throw e; }
  const there = await Promise.all(peers.map(async p => {
    try {
      return (await getJson('v1/models', { base: p.base })).data.map(m => ({ name: `${m.id} at ${p.name}`, base: p.base, model: m.id }));
    } catch (e) { return [{ name: `${p.name} (${e.status === 401 ? 'asks for a key' : 'does not answer'})`, base: p.base, model: null }]; }
  }));
  return here.concat(...there);
}
