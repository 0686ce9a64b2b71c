/* compare.js - one prompt, two devices or servers, side by side. The headline: are the texts identical?
 *
 * One after the other is the default: both would else share the machine, and neither time nor watts would be fair. */
import * as api from './api.js';
import { $, h, isNumber, num, plural, quiet, region, say, iconButton, copy } from './ui.js';
import { figuresOf, shown, mark } from './figures.js';
import { whereItRan } from './ledger.js';

let choices = [], running = null;
const part = {}; // the form's inputs

function input(id, label, el, wide) {
  el.id = `cmp-${id}`;
  part[id] = el;
  return h('div', { class: wide ? 'field wide' : 'field' }, h('label', { for: el.id }, label), el);
}

const fair = { after: 'One after the other: both have the machine to themselves, so that time and power are fair.',
  beside: 'At the same time: texts compare, but times and power are not those that either has alone.' };
export function init() {
  const submit = e => {
    e.preventDefault();
    if (running) running.abort(); else run();
  };
  const orders = [h('option', { value: 'after' }, 'One after the other'), h('option', { value: 'beside' }, 'At the same time')];
  const form = h('form', { class: 'card ask', 'aria-label': 'What is compared', onsubmit: submit },
    h('div', { class: 'grid' },
      input('a', 'First (A)', h('select')), input('b', 'Second (B)', h('select')),
      input('prompt', 'Prompt', h('textarea', { rows: '3', required: true }), true),
      input('seed', 'Seed', h('input', { type: 'number', value: '42', step: '1', min: '0', max: '4294967295' })),
      input('temperature', 'Temperature', h('input', { type: 'number', value: '0', step: '0.05', min: '0', max: '2' })),
      input('max_tokens', 'Tokens at most', h('input', { type: 'number', value: '128', step: '1', min: '1', max: '100000' })),
      input('order', 'Order', h('select', {}, orders))),
    h('p', { class: 'row' }, h('button', { id: 'cmp-run', type: 'submit', class: 'primary', disabled: true }, 'Compare'),
      h('span', { class: 'quiet', id: 'cmp-note' }, fair.after)));
  part.prompt.value = 'Tell me about the sea, in a few sentences.';
  part.order.addEventListener('change', () => {
    $('cmp-note').textContent = fair[part.order.value];
  });
  $('view-compare').replaceChildren(h('div', { class: 'page' }, h('h2', {}, 'Compare'), form,
    h('p', { id: 'headline', class: 'headline', role: 'status' }), h('div', { id: 'cmp-table' }),
    h('div', { class: 'columns', id: 'cmp-columns' })));
}

/** What can be compared has to be asked anew whenever the view is opened: models come and go. */
export async function refresh() {
  if (running) return;
  $('cmp-run').disabled = true; // until it is known what there is
  try { choices = await api.targets(); } catch { return; }
  for (const id of ['a', 'b']) {
    const old = part[id].value;
    part[id].replaceChildren(...choices.map(c => h('option', { value: c.name, disabled: c.model === null }, c.name)));
    const usable = choices.filter(c => c.model !== null);
    part[id].value = (usable.find(c => c.name === old) ?? usable[id === 'b' ? 1 : 0] ?? usable[0])?.name ?? '';
    $('cmp-run').disabled = !usable.length;
  }
}

/** One side: its answer, which fills the column while it comes. */
async function one(side, target, body, signal) {
  const a = { text: '', thinking: '', end: 'lost', model: target.model, base: target.base, seen: { pieces: 0 } }, t0 = performance.now();
  side.state.textContent = 'reading the prompt …';
  let drawn = 0, frame = 0;
  const draw = () => { frame = 0; side.text.appendData(a.text.slice(drawn)); drawn = a.text.length; };
  try {
    for await (const c of api.chat({ ...body, model: target.model }, { base: target.base, signal })) {
      for (const k of ['timings', 'tessera', 'usage']) if (c[k]) a[k] = c[k];
      const choice = c.choices?.[0], more = choice?.delta?.content;
      if (choice?.finish_reason) a.end = choice.finish_reason;
      if (choice?.delta?.reasoning_content) a.thinking += choice.delta.reasoning_content;
      if (!more && !choice?.delta?.reasoning_content) continue;
      a.seen.first_ms ??= performance.now() - t0;
      a.seen.pieces++;
      a.seen.total_ms = performance.now() - t0;
      a.text += more ?? '';
      side.state.textContent = plural(a.seen.pieces, 'piece');
      frame ||= setTimeout(draw, 40);
    }
    side.state.textContent = { stop: 'ended by itself', length: 'reached the limit of tokens' }[a.end] ?? a.end;
  } catch (e) {
    a.end = 'failed';
    a.error = e.name === 'AbortError' ? 'stopped' : e.message;
    side.state.textContent = a.error;
  }
  clearTimeout(frame);
  draw();
  const where = whereItRan(a);
  if (where) side.el.append(where);
  return a;
}

function column(name, target) {
  const text = document.createTextNode(''), state = quiet('waits');
  const said = h('div', { class: 'said', tabindex: '0', role: 'region', 'aria-label': `Text of ${name}` }, text);
  const copyButton = iconButton('copy', `Copy the text of ${name}`, () => copy(said.textContent, copyButton));
  const head = h('h3', {}, h('span', { class: 'letter' }, name), ` ${target.name} `, state, copyButton);
  return { el: h('article', { class: 'card side-by', 'aria-label': `${name}: ${target.name}` }, head, said), text, state, said };
}

const points = s => Array.from(s);
/** Where two texts begin to differ, in characters (never within one); -1: nowhere. */
export function firstDifference(a, b) {
  if (a === b) return -1;
  const x = points(a), y = points(b);
  let i = 0;
  while (i < x.length && i < y.length && x[i] === y[i]) i++;
  return i;
}
const excerpt = t => (t.length ? `“${t.slice(0, 40).replace(/\s+/g, ' ')}${t.length > 40 ? '…' : ''}”` : 'nothing more');

function headline(a, b, columns) {
  const box = $('headline'), failed = [['A', a], ['B', b]].filter(([, x]) => x.end === 'failed');
  const tell = (kind, ...kids) => { box.className = `headline ${kind}`; box.replaceChildren(...kids); };
  if (failed.length) return tell('bad', h('b', {}, 'Not comparable'), ` ${failed.map(([n, x]) => `${n}: ${x.error}`).join(' · ')}`);
  const mine = a.thinking ? `${a.thinking}\u0000${a.text}` : a.text, theirs = b.thinking ? `${b.thinking}\u0000${b.text}` : b.text;
  if (mine === theirs && a.end === b.end) return tell('good', h('b', {}, 'Texts identical'), ` All ${plural(points(a.text).length, 'character')}.`);
  if (mine === theirs) return tell('bad', h('b', {}, 'Texts identical, ends not'), ` A: ${a.end}, B: ${b.end}.`);
  const at = firstDifference(a.text, b.text);
  if (at < 0) return tell('bad', h('b', {}, 'Texts identical, thoughts not'), ' What the models thought before they spoke differs.');
  [[columns[0], a], [columns[1], b]].forEach(([c, x]) => {
    const p = points(x.text);
    c.said.replaceChildren(h('span', { class: 'same' }, p.slice(0, at).join('')), h('mark', {}, p.slice(at).join('')));
  });
  const rest = x => excerpt(points(x.text).slice(at).join(''));
  return tell('bad', h('b', {}, `Texts differ from character ${at + 1} on`), ` A has ${rest(a)}, B has ${rest(b)}.`);
}

function table(a, b) {
  const fa = figuresOf(a), fb = figuresOf(b), ids = [...new Set([...fa, ...fb].map(f => f.id))];
  const value = f => [h('b', {}, shown(f)[0]), ` ${shown(f)[1]} `, mark(f.by, f.title)];
  const cell = f => h('td', {}, f ? (f.none ? quiet(f.none) : value(f)) : quiet('–'));
  return h('div', { class: 'card' }, region('Figures of both', h('table', { class: 'numbers' },
    h('thead', {}, h('tr', {}, ['', 'A', 'B', 'B : A'].map(t => h(t ? 'th' : 'td', t ? { scope: 'col' } : {}, t)))),
    h('tbody', {}, ids.map(id => {
      const x = fa.find(f => f.id === id), y = fb.find(f => f.id === id);
      const both = isNumber(x?.value) && isNumber(y?.value) && x.value > 0 && x.unit === y.unit;
      return h('tr', { 'data-figure': id }, h('th', { scope: 'row' }, (x ?? y).label), cell(x), cell(y),
        h('td', {}, both ? [h('b', {}, num(y.value / x.value)), ' ', mark('derived')] : ''));
    })))));
}

async function run() {
  const [a, b] = [part.a, part.b].map(p => choices.find(c => c.name === p.value));
  if (!a?.model || !b?.model) return;
  const body = { messages: [{ role: 'user', content: part.prompt.value }], cache_prompt: false };
  for (const k of ['seed', 'temperature', 'max_tokens']) if (part[k].value !== '') body[k] = Number(part[k].value);
  running = new AbortController();
  $('cmp-run').textContent = 'Stop';
  const columns = [column('A', a), column('B', b)];
  $('cmp-columns').replaceChildren(...columns.map(c => c.el));
  $('cmp-table').replaceChildren();
  $('headline').className = 'headline';
  $('headline').replaceChildren();
  const { signal } = running, first = one(columns[0], a, body, signal);
  if (part.order.value === 'after') await first;
  const [ra, rb] = await Promise.all([first, one(columns[1], b, body, signal)]);
  running = null;
  $('cmp-run').textContent = 'Compare';
  headline(ra, rb, columns);
  $('headline').scrollIntoView({ block: 'nearest' });
  $('cmp-table').replaceChildren(table(ra, rb));
  say('The comparison has ended.');
}

/** Esc; false: nothing runs. */
export function stop() {
  running?.abort();
  return Boolean(running);
}
