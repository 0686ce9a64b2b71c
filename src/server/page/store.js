/* store.js - conversations in the browser's IndexedDB, one record a message, so that a long one costs no more than a short one.
 *
 * A conversation: {id, title, created, updated, settings}. A message: {conv, i, role, ...} with its place i from 0. Where the
 * browser gives no database (a private window, a full disk) everything is kept in memory, and `kept` is false. */

let db = null;
const memory = { conversations: new Map(), messages: new Map() }; // messages: conversation -> []

const done = request => new Promise((yes, no) => {
  request.onsuccess = () => yes(request.result);
  request.onerror = () => no(request.error);
});
const finished = tx => new Promise((yes, no) => {
  tx.oncomplete = () => yes();
  tx.onabort = tx.onerror = () => no(tx.error);
});
const all = id => IDBKeyRange.bound([id, 0], [id, Infinity]);

/** Open the database; returns whether there is one. */
export async function open() {
  try {
    const request = indexedDB.open('tessera', 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore('conversations', { keyPath: 'id' });
      request.result.createObjectStore('messages', { keyPath: ['conv', 'i'] });
    };
    db = await done(request);
    db.onversionchange = () => db.close();
  } catch { db = null; }
  return db !== null;
}

export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), b => b.toString(16).padStart(2, '0')).join('');
}

/** All conversations, the latest first. */
export async function list() {
  const found = db ? await done(db.transaction('conversations').objectStore('conversations').getAll()) : [...memory.conversations.values()];
  return found.sort((a, b) => b.updated - a.updated);
}

export async function messages(id) {
  if (!db) return structuredClone(memory.messages.get(id) ?? []);
  return done(db.transaction('messages').objectStore('messages').getAll(all(id)));
}

/** Write a conversation, and some of its messages [[i, message]]; those from place `end` on, if given, are taken away. */
export async function save(conversation, changed = [], end = null) {
  if (!db) {
    memory.conversations.set(conversation.id, structuredClone(conversation));
    const m = memory.messages.get(conversation.id) ?? [];
    for (const [i, message] of changed) m[i] = structuredClone(message);
    if (end !== null) m.length = Math.min(m.length, end);
    memory.messages.set(conversation.id, m);
    return;
  }
  const tx = db.transaction(['conversations', 'messages'], 'readwrite');
  tx.objectStore('conversations').put(conversation);
  const store = tx.objectStore('messages');
  if (end !== null) store.delete(IDBKeyRange.bound([conversation.id, end], [conversation.id, Infinity]));
  for (const [i, message] of changed) store.put({ ...message, conv: conversation.id, i });
  await finished(tx);
}

export async function remove(id) {
  if (!db) {
    memory.conversations.delete(id);
    memory.messages.delete(id);
    return;
  }
  const tx = db.transaction(['conversations', 'messages'], 'readwrite');
  tx.objectStore('conversations').delete(id);
  tx.objectStore('messages').delete(all(id));
  await finished(tx);
}

/* ---- files ----------------------------------------------------------------------------------------------------------------- */

/** Everything, as a Blob of JSON. */
export async function exported() {
  const parts = ['{"format":"tessera-conversations","version":1,"conversations":['];
  let first = true;
  for (const c of await list()) {
    const m = (await messages(c.id)).map(({ conv, i, ...rest }) => rest);
    parts.push(`${first ? '' : ','}\n${JSON.stringify({ ...c, messages: m })}`);
    first = false;
  }
  parts.push('\n]}\n');
  return new Blob(parts, { type: 'application/json' });
}

const text = (x, what) => { if (typeof x !== 'string') throw new Error(`${what} is not a text`); return x; };
const moment = x => (Number.isFinite(x) ? x : Date.now());
function checkedMessage(m, where) {
  if (m?.role === 'user') {
    const file = f => ({ name: text(f?.name, `${where}: a file's name`), text: text(f?.text, `${where}: a file`) });
    return { role: 'user', text: text(m.text, `${where}: text`), files: Array.isArray(m.files) ? m.files.map(file) : [] };
  }
  if (m?.role !== 'assistant' || !Array.isArray(m.variants) || !m.variants.length) throw new Error(`${where} is no message`);
  for (const v of m.variants) text(v?.text, `${where}: text`);
  const pick = Number.isInteger(m.pick) && m.pick >= 0 && m.pick < m.variants.length ? m.pick : 0;
  return { role: 'assistant', variants: m.variants, pick };
}

/** Take in what exported() wrote; returns how many conversations. Nothing is taken if something is wrong with the file. */
export async function importFrom(json) {
  let file;
  try { file = JSON.parse(json); } catch (e) { throw new Error(`The file is not JSON: ${e.message}`); }
  if (file?.format !== 'tessera-conversations' || file.version !== 1 || !Array.isArray(file.conversations))
    throw new Error('The file is no export of conversations of this page (version 1).');
  const here = new Set((await list()).map(c => c.id));
  const ready = file.conversations.map((c, n) => {
    const where = `Conversation ${n + 1}`;
    if (!Array.isArray(c?.messages)) throw new Error(`${where} has no messages`);
    const id = typeof c.id === 'string' && c.id && !here.has(c.id) ? c.id : newId();
    here.add(id);
    const settings = c.settings && typeof c.settings === 'object' ? c.settings : {};
    return [{ id, title: text(c.title, `${where}: title`), created: moment(c.created), updated: moment(c.updated), settings },
      c.messages.map((m, i) => [i, checkedMessage(m, `${where}, message ${i + 1}`)])];
  });
  for (const [c, m] of ready) await save(c, m);
  return ready.length;
}
