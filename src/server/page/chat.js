/* chat.js - the chat: messages, the composer, answers as they come, stop, edit, regenerate.
 *
 * Messages: {role: 'user', text, files: [{name, text}]} and {role: 'assistant', variants: [answer], pick}. An answer:
 * {text, thinking, end, error, model, base, at, json, seen, timings, tessera, usage}; end is 'stop', 'length', 'stopped' (by
 * the reader), 'lost' (the connection) or 'refused'; `seen` is what the clock of this page says. One answer is made at a time; it goes on
 * while another conversation is looked at. */
import * as api from './api.js';
import * as store from './store.js';
import * as settings from './settings.js';
import * as sidebar from './sidebar.js';
import { $, h, button, iconButton, note, setIcon, copy, toast, say, plural, count, duration, bytes, narrow, remember, recall } from './ui.js';
import { Markdown, markdown } from './markdown.js';
import { strip } from './figures.js';
import { whereItRan } from './ledger.js';

const WINDOW = 40; // messages shown at first, and more at a time
const FILE_MAX = 1 << 20;

let conv = null, messages = [], first = 0; // first: the place of the first message that is shown
let busy = null;                           // {conv, messages, i, answer, abort, view, ...}: the answer that is made
let files = [], following = true, models = [], openSettings = () => {};
const log = $('log'), text = $('text');
const channel = 'BroadcastChannel' in window ? new BroadcastChannel('tessera') : null;

/* ---- conversations --------------------------------------------------------------------------------------------------------- */

const fresh = s => ({ id: store.newId(), title: 'New chat', created: Date.now(), updated: Date.now(), settings: { ...s } });

/** Keep changes: messages from place `from` on, all behind them gone. */
async function keep(c, list, from, to = list.length) {
  c.updated = Date.now();
  try {
    await store.save(c, list.slice(from, to).map((m, k) => [from + k, m]), list.length);
  } catch (e) { toast(`This browser does not keep the conversation: ${e?.message ?? 'no room'}`); }
  sidebar.touched(c);
}

export function newChat() {
  conv = fresh(conv?.settings);
  messages = [];
  show();
  text.focus();
}

export async function open(id) {
  if (busy?.conv.id === id) ({ conv, messages } = busy);
  else {
    const found = (await store.list()).find(c => c.id === id);
    if (found) {
      messages = await store.messages(id);
      conv = found;
      const lost = { text: '', end: 'lost', error: 'The page was left before an answer came.' };
      if (messages.at(-1)?.role === 'user') messages.push({ role: 'assistant', variants: [lost], pick: 0 });
    } else {
      newChat();
      return;
    }
  }
  show();
}

function show() {
  setId(conv.id);
  document.title = messages.length ? `${conv.title} · Tessera` : 'Tessera';
  conv.settings ??= {};
  settings.use(conv.settings);
  chooseModel();
  first = Math.max(0, messages.length - WINDOW);
  following = true;
  draw();
  sidebar.mark(conv.id, busy?.conv.id);
  buttons();
}
/* The conversation that is open: of this tab, and the last of all for a new one. */
function setId(id) {
  try { sessionStorage.setItem('tessera.conversation', id); } catch { /* not kept */ }
  remember('conversation', id);
}
function lastId() {
  try { return sessionStorage.getItem('tessera.conversation') ?? recall('conversation'); } catch { return null; }
}

/* ---- messages as nodes ------------------------------------------------------------------------------------------------------ */

function draw() {
  log.replaceChildren();
  if (!messages.length) log.append(welcome());
  if (first > 0) log.append(earlierButton());
  for (let i = first; i < messages.length; i++) log.append(view(i));
  follow();
}
function redraw(i) { log.querySelector(`[data-i="${i}"]`)?.replaceWith(view(i)); }

function earlierButton() {
  const b = button(`Show earlier messages (${count(first)})`, earlier, { class: 'earlier' });
  const seen = new IntersectionObserver(([e]) => {
    if (!e.isIntersecting || !b.isConnected || log.scrollTop === 0) return;
    seen.disconnect();
    earlier();
  }, { root: log, rootMargin: '200px' });
  seen.observe(b);
  return b;
}
function earlier() {
  const height = log.scrollHeight, top = log.scrollTop, to = first;
  first = Math.max(0, first - WINDOW);
  log.querySelector('.earlier')?.remove();
  log.prepend(...(first > 0 ? [earlierButton()] : []), ...Array.from({ length: to - first }, (_, k) => view(first + k)));
  log.scrollTop = top + log.scrollHeight - height;
}

function welcome() {
  const model = models.find(m => m.id === chosen()), n_ctx = model?.meta?.n_ctx;
  const ask = t => button(t, () => { text.value = t; grow(); text.focus(); });
  return h('div', { class: 'welcome' }, h('div', { class: 'mosaic', 'aria-hidden': 'true' }, Array.from({ length: 9 }, () => h('i'))),
    h('h2', {}, 'Ask the model on this machine'),
    model ? note(h('b', {}, model.id), model.meta?.size ? ` · ${bytes(model.meta.size)}` : '', n_ctx ? ` · up to ${count(n_ctx)} tokens of context` : '')
      : note('Nothing you write leaves it.'),
    h('div', { class: 'asks' }, ask('Tell me a short story about a lighthouse.'), ask('Explain how a cache works, in three sentences.'),
      ask('List five uses of a paper clip.')));
}

function view(i) {
  const m = messages[i];
  const runs = busy?.messages === messages && busy.i === i;
  const el = m.role === 'user' ? userView(m, i) : runs ? (busy.view ??= runningView(busy.answer)).el : answerView(m, i);
  el.dataset.i = i;
  return el;
}

const fileName = f => [f.name, h('small', {}, ` ${bytes(f.text.length)}`)];
function userView(m, i) {
  const copyButton = iconButton('copy', 'Copy this message', () => copy(m.text, copyButton));
  return h('article', { class: 'msg user', 'aria-label': 'You' }, h('div', { class: 'said' }, m.text),
    m.files?.length ? h('ul', { class: 'files', 'aria-label': 'Attached files' }, m.files.map(f => h('li', {}, fileName(f)))) : '',
    h('div', { class: 'acts' }, copyButton, iconButton('edit', 'Edit this message', () => edit(i))));
}

const ends = {
  length: () => 'The answer has reached its limit of tokens.',
  stopped: () => 'You have stopped it here.',
  lost: a => `${a.error ?? 'The connection was lost.'} ${a.text ? 'What had come is kept.' : ''}`,
  refused: a => `The server refuses this: ${a.error}`,
};
function answerView(m, i) {
  const a = m.variants[m.pick] ?? m.variants[0], last = i === messages.length - 1;
  const copyButton = iconButton('copy', 'Copy this answer', () => copy(a.text, copyButton));
  const bad = a.end === 'lost' || a.end === 'refused';
  const turn = (name, label, by) => iconButton(name, label, async () => {
    m.pick += by;
    await keep(conv, messages, i, i + 1);
    redraw(i);
  }, { disabled: !m.variants[m.pick + by] });
  return h('article', { class: 'msg answer', 'aria-label': `Answer of ${a.model ?? 'the model'}` },
    a.thinking ? thinkingView(a) : '',
    a.text ? markdown(a.text, h('div', { class: 'md' }), a.json) : '',
    ends[a.end] ? h('p', { class: bad ? 'notice bad' : 'notice' }, ends[a.end](a), bad && last ? button('Try again', () => regenerate(i)) : '') : '',
    a.end === 'refused' ? '' : strip(a), whereItRan(a) ?? '',
    h('div', { class: 'acts' },
      m.variants.length > 1 ? h('span', { class: 'turns' }, turn('left', 'Earlier answer', -1),
        h('span', {}, `${m.pick + 1}/${m.variants.length}`), turn('right', 'Later answer', 1)) : '',
      copyButton, last ? iconButton('again', 'Answer again', () => regenerate(i)) : '', h('span', { class: 'by' }, a.model ?? '')));
}
function thinkingView(a) {
  const ms = a.seen?.thought_ms;
  return h('details', { class: 'thinking' }, h('summary', {}, ms ? `Thought for ${duration(ms).join(' ')}` : 'Thinking'),
    h('div', { class: 'thoughts' }, a.thinking));
}

/** The node of an answer that is being made, and what changes in it. */
function runningView(a) {
  const thoughts = document.createTextNode(''), body = h('div', { class: 'md' }), figures = h('div');
  const thinking = h('details', { class: 'thinking', hidden: true }, h('summary', {}, 'Thinking …'), h('div', { class: 'thoughts' }, thoughts));
  const dots = h('span', { class: 'dots', 'aria-hidden': 'true' }, h('i'), h('i'), h('i'));
  const wait = h('p', { class: 'wait', role: 'status' }, 'Waiting for the first word', dots);
  const el = h('article', { class: 'msg answer running', 'aria-label': `Answer of ${a.model}`, 'aria-busy': 'true' }, thinking, body, wait, figures);
  return { el, thoughts, thinking, wait, figures, md: new Markdown(body, a.json), shown: 0, thought: 0 };
}

/* ---- following the end ------------------------------------------------------------------------------------------------------- */

const away = () => log.scrollHeight - log.scrollTop - log.clientHeight;
function follow() { if (following) log.scrollTop = log.scrollHeight; }
log.addEventListener('scroll', () => {
  following = away() < 60;
  $('latest').hidden = following;
}, { passive: true });
$('latest').addEventListener('click', () => { following = true; follow(); text.focus(); });

/* ---- making an answer --------------------------------------------------------------------------------------------------------- */

function withFiles(m) {
  return [m.text, ...(m.files ?? []).map(f => {
    const fence = '`'.repeat(Math.max(3, ...(f.text.match(/`+/g) ?? []).map(x => x.length + 1)));
    return `File ${f.name}:\n${fence}\n${f.text}\n${fence}`;
  })].filter(Boolean).join('\n\n');
}
/** The messages of a request: without questions that were refused (too long: they would be so again) and answers that have no
 * text, and so that turns alternate. */
function forServer(list, system) {
  const out = system ? [{ role: 'system', content: system }] : [];
  for (const [i, m] of list.entries()) {
    const next = list[i + 1]?.variants?.[list[i + 1].pick];
    if (m.role === 'user' && next && next.end === 'refused' && !next.text) continue;
    const content = m.role === 'user' ? withFiles(m) : m.variants[m.pick].text;
    if (!content) continue;
    if (m.role === out.at(-1)?.role) out.at(-1).content += `\n\n${content}`;
    else out.push({ role: m.role, content });
  }
  return out;
}

/** What of a growing text has become whole sentences, for the screen reader: code is named, not read. */
function sentences() {
  let at = 0, code = false;
  return (t, end) => {
    const parts = [];
    const unit = /```[^\n]*\n?|[^\n]*?[.!?…](?=\s)|[^\n]*\n/y;
    for (unit.lastIndex = at; ;) {
      const m = unit.exec(t);
      if (!m) break;
      at = unit.lastIndex;
      if (m[0].startsWith('```')) { if (!code) parts.push('Code.'); code = !code; } else if (!code) parts.push(m[0]);
    }
    if (end && !code && at < t.length) parts.push(t.slice(at));
    const words = parts.join(' ').replace(/[*_`#>|~]+/g, ' ').replace(/\s+/g, ' ').trim();
    if (words) say(words);
  };
}

function thin(values) { return values.length < 120 ? values : values.filter((_, k) => k % 2); }

/** Make a further variant of the answer at place i. */
async function answer(i) {
  const s = conv.settings, model = chosen();
  const seen = { pieces: 0, rates: [], watts: [] };
  const a = { text: '', thinking: '', end: 'lost', model, base: '', at: Date.now(), json: Boolean(s.format), seen };
  const m = messages[i];
  m.variants.push(a);
  m.pick = m.variants.length - 1;
  const job = busy = { conv, messages, i, answer: a, abort: new AbortController(), speak: sentences(), frame: 0 };
  if (log.querySelector(`[data-i="${i}"]`)) redraw(i); else log.append(view(i));
  following = true;
  follow();
  buttons();
  sidebar.mark(conv.id, conv.id);
  const t0 = performance.now(), since = () => performance.now() - t0;
  const watch = new AbortController();
  api.live(watch.signal, l => { if (typeof l.watts === 'number') a.seen.watts = thin([...a.seen.watts, l.watts]); });
  let pieces = 0, saved = 0, drawn = 0;
  const timer = setInterval(() => { // figures twice a second, and what has come is kept
    if (a.seen.first_ms === undefined) return;
    a.seen.rates = thin([...a.seen.rates, 2 * (a.seen.pieces - pieces)]);
    pieces = a.seen.pieces;
    a.seen.total_ms = since();
    if (busy?.view?.el.isConnected) { job.view.figures.replaceChildren(strip(a, true)); follow(); }
    job.speak(a.text, false);
    if (since() - saved > 2000) { saved = since(); store.save(job.conv, [[i, m]]).catch(() => {}); }
  }, 500);
  const drawSoon = () => {
    if (job.frame) return;
    const f = () => { const t = performance.now(); paint(job); drawn = performance.now() - t; job.frame = 0; };
    job.frame = document.hidden ? setTimeout(f, 250) : drawn > 6 ? setTimeout(() => requestAnimationFrame(f), 6 * drawn) : requestAnimationFrame(f);
  };
  try {
    const body = { model, messages: forServer(job.messages.slice(0, i), s.system), ...settings.fields(s) };
    for await (const c of api.chat(body, { signal: job.abort.signal })) {
      const choice = c.choices?.[0], d = choice?.delta;
      if (c.timings) a.timings = c.timings;
      if (c.tessera) a.tessera = c.tessera;
      if (c.usage) a.usage = c.usage;
      if (choice?.finish_reason) a.end = choice.finish_reason === 'length' ? 'length' : 'stop';
      if (!d?.content && !d?.reasoning_content) continue;
      a.seen.first_ms ??= since();
      a.seen.pieces++;
      if (d.reasoning_content) a.thinking += d.reasoning_content;
      if (d.content) {
        if (a.thinking && a.seen.thought_ms === undefined) a.seen.thought_ms = since() - a.seen.first_ms;
        a.text += d.content;
      }
      drawSoon();
    }
  } catch (e) {
    a.end = e.name === 'AbortError' ? 'stopped' : e instanceof api.Offline || e instanceof api.Cut ? 'lost' : 'refused';
    if (a.end !== 'stopped') a.error = e.message;
    if (e instanceof api.Refused && job.conv === conv && settings.refused(e)) openSettings();
  }
  clearInterval(timer);
  watch.abort();
  if (a.seen.first_ms !== undefined) a.seen.total_ms = since();
  await ended(job);
}

function paint({ view: v, answer: a }) {
  if (!v?.el.isConnected) return;
  v.wait.hidden = Boolean(a.text || a.thinking);
  if (a.thinking.length > v.thought) {
    v.thinking.hidden = false;
    v.thoughts.appendData(a.thinking.slice(v.thought));
    v.thought = a.thinking.length;
  }
  if (a.text.length > v.shown) {
    v.md.push(a.text.slice(v.shown));
    v.shown = a.text.length;
    v.md.draw();
  }
  follow();
}

async function ended(job) {
  if (job.dropped) return;
  const { conv: c, messages: list, i, answer: a } = job, focused = job.view?.el.contains(document.activeElement);
  busy = null;
  job.speak(a.text, true);
  if (a.end !== 'stop') say(ends[a.end](a));
  if (conv === c) redraw(i);
  await keep(c, list, i, i + 1);
  channel?.postMessage(c.id);
  follow();
  sidebar.mark(conv.id, null);
  buttons();
  if (focused) text.focus();
}

export function stop() {
  if (!busy) return false;
  busy.abort.abort();
  return true;
}
/** Stop, and forget what has come: its place is taken by something else. */
function drop() {
  if (!busy) return;
  busy.dropped = true;
  busy.abort.abort();
  busy = null;
}

async function send() {
  const said = text.value.trim();
  if (busy || (!said && !files.length)) return;
  try { settings.fields(conv.settings); } catch (e) { toast(e.message); openSettings(); return; }
  if (!messages.length) {
    conv.title = (said || files[0].name).replace(/\s+/g, ' ').slice(0, 80);
    document.title = `${conv.title} · Tessera`;
    log.replaceChildren();
  }
  messages.push({ role: 'user', text: said, files }, { role: 'assistant', variants: [], pick: 0 });
  text.value = '';
  files = [];
  drawFiles();
  grow();
  const at = messages.length - 2;
  if (at > 0 && messages[at - 1].role === 'assistant') redraw(at - 1); // no longer the last
  log.append(view(at));
  const made = answer(at + 1);
  await keep(conv, messages, at, at + 1);
  await made;
}

function regenerate(i) {
  if (busy) return toast('An answer is being made; stop it first.');
  return answer(i);
}

function edit(i) {
  const m = messages[i], box = h('textarea', { 'aria-label': 'Edit the message', rows: String(Math.min(12, m.text.split('\n').length + 1)) });
  box.value = m.text;
  const end = () => { redraw(i); log.querySelector(`[data-i="${i}"] .acts button:last-child`)?.focus(); };
  const go = async () => {
    const old = messages.slice(i), c = conv, list = messages;
    if (!box.value.trim()) return;
    drop();
    messages.splice(i, Infinity, { ...m, text: box.value.trim() });
    draw();
    messages.push({ role: 'assistant', variants: [], pick: 0 });
    const made = answer(i + 1);
    await keep(c, list, i, i + 1);
    if (old.length > 2) toast(`${plural(old.length - 1, 'later message')} taken away.`, 'Undo', async () => {
      if (busy?.conv === c) drop();
      list.splice(i, Infinity, ...old);
      await keep(c, list, i);
      if (conv === c) show();
    });
    await made;
  };
  const form = h('form', { class: 'editing', onsubmit: e => { e.preventDefault(); go(); } }, box,
    h('p', { class: 'row' }, h('button', { type: 'submit', class: 'primary' }, 'Send'), h('button', { type: 'button', onclick: end }, 'Leave it')));
  box.addEventListener('keydown', e => {
    if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); go(); }
    if (e.key === 'Escape') { e.stopPropagation(); end(); }
  });
  log.querySelector(`[data-i="${i}"]`).replaceChildren(form);
  box.focus();
}

/* ---- the composer --------------------------------------------------------------------------------------------------------------- */

function grow() {
  text.style.height = 'auto';
  text.style.height = `${Math.min(text.scrollHeight, innerHeight / 3)}px`;
}
function buttons() {
  const b = $('send');
  setIcon(b, busy ? 'stop' : 'send');
  const label = busy ? 'Stop' : 'Send';
  b.setAttribute('aria-label', label);
  b.title = busy ? 'Stop (Esc)' : 'Send (Enter)';
  b.classList.toggle('stopping', Boolean(busy));
}
function drawFiles() {
  $('files').hidden = !files.length;
  const off = f => iconButton('close', `Take ${f.name} off`, () => {
    files = files.filter(x => x !== f);
    drawFiles();
    text.focus();
  });
  $('files').replaceChildren(...files.map(f => h('li', {}, fileName(f), off(f))));
}
async function attach(list) {
  for (const file of list) {
    if (file.size > FILE_MAX) { toast(`${file.name} is larger than ${bytes(FILE_MAX)}.`); continue; }
    try {
      const t = new TextDecoder('utf-8', { fatal: true }).decode(await file.arrayBuffer());
      if (t.includes('\0')) throw new Error();
      files = [...files, { name: file.name, text: t }];
    } catch { toast(`${file.name} is no text in UTF-8.`); }
  }
  drawFiles();
  text.focus();
}

const chosen = () => conv?.settings.model && models.some(m => m.id === conv.settings.model) ? conv.settings.model : models[0]?.id ?? '';
function chooseModel() { $('model').value = chosen(); }
/** The server's models, as GET /v1/models has them. */
export function setModels(list) {
  models = list;
  $('model').replaceChildren(...models.map(m => h('option', { value: m.id }, m.id)));
  $('model').disabled = !models.length;
  if (!conv) return;
  chooseModel();
  if (!messages.length) draw();
}

/** settingsDrawer, sideDrawer: see drawer() in ui.js. */
export async function init(settingsDrawer, sideDrawer) {
  openSettings = () => settingsDrawer.set(true);
  const choose = e => { conv.settings.model = e.target.value; saveSettings(); };
  $('answers').append(h('label', { class: 'sr', for: 'model' }, 'Model'), h('select', { id: 'model', onchange: choose }));
  let timer;
  const saveSettings = () => { // not for every key
    clearTimeout(timer);
    const c = conv;
    if (messages.length) timer = setTimeout(() => store.save(c).catch(() => {}), 400);
  };
  settings.init(saveSettings, () => settingsDrawer.set(false));
  const thenClose = f => async (...x) => { if (narrow.matches) sideDrawer.set(false); await f(...x); };
  sidebar.init({ open: thenClose(open), fresh: thenClose(newChat), close: () => sideDrawer.set(false),
    renamed(c) {
      if (c.id === conv.id) {
        conv.title = c.title;
        document.title = `${c.title} · Tessera`;
      }
      channel?.postMessage(c.id);
    },
    removed(id) {
      if (busy?.conv.id === id) drop();
      if (conv.id === id) newChat(); else sidebar.mark(conv.id, busy?.conv.id);
      buttons();
    } });
  if (channel) channel.onmessage = async e => { // another tab has written
    await sidebar.refresh();
    if (e.data === conv.id && !busy && messages.length) open(conv.id);
  };

  $('composer').addEventListener('submit', e => { e.preventDefault(); if (busy) stop(); else send(); });
  text.addEventListener('input', grow);
  text.addEventListener('keydown', e => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); send(); } });
  $('attach').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', async () => { await attach([...$('file').files]); $('file').value = ''; });
  $('view-chat').addEventListener('dragover', e => { if (e.dataTransfer.types.includes('Files')) e.preventDefault(); });
  $('view-chat').addEventListener('drop', e => { e.preventDefault(); attach([...e.dataTransfer.files]); });
  addEventListener('pagehide', () => { if (busy) store.save(busy.conv, [[busy.i, busy.messages[busy.i]]]).catch(() => {}); });

  await sidebar.refresh();
  const id = lastId();
  if (id && (await store.list()).some(c => c.id === id)) await open(id); else newChat();
}
