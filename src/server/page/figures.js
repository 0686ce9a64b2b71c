/* figures.js - what an answer cost, in figures that say where they come from.
 *
 * A figure has a mark: *measured* (by the server, or by this page's clock), *simulated* or *virtual* (of a device that is not
 * really there: the server's own words), *derived* (computed here from others). A number without a mark is not shown. */
import { h, isNumber, count, num, duration, sparkline } from './ui.js';

export const marks = {
  measured: 'Measured on the machine that answered',
  simulated: 'Of a simulated device: no time of a real one',
  virtual: 'Of a device that a virtual machine has: not measured on a real one',
  derived: 'Computed by this page from other figures',
};
export const mark = (name, title) => h('span', { class: `mark ${name}`, title: title ?? marks[name] }, name);

const figure = (id, label, value, unit, by, title) => ({ id, label, value, unit, by, title });
const positive = x => isNumber(x) && x > 0;

/** The figures of an answer (see chat.js for its fields), in the order in which they are shown. `value` is the bare number. */
export function figuresOf(a) {
  const t = a.timings ?? {}, s = a.tessera ?? {}, u = a.usage ?? {}, seen = a.seen ?? {}, out = [];
  const by = marks[s.evidence] && s.evidence !== 'derived' ? s.evidence : 'measured';
  const n = u.completion_tokens ?? t.predicted_n;

  if (positive(t.predicted_per_second)) out.push(figure('rate', 'speed', t.predicted_per_second, 'tokens/s', by, 'By the server'));
  else if (positive(seen.pieces) && positive(seen.total_ms - seen.first_ms))
    out.push(figure('rate', 'speed', 1000 * seen.pieces / (seen.total_ms - seen.first_ms), 'pieces/s', 'derived',
      'Pieces of text that came, by the clock of this page'));

  if (isNumber(s.ttft_ms)) out.push(figure('first', 'first token', s.ttft_ms, 'ms', by, 'By the server'));
  else if (isNumber(seen.first_ms)) out.push(figure('first', 'first token', seen.first_ms, 'ms', 'measured', 'By the clock of this page'));

  const ms = positive(t.prompt_ms) || positive(t.predicted_ms) ? (t.prompt_ms ?? 0) + (t.predicted_ms ?? 0) : null;
  if (positive(s.joules)) {
    const source = `Energy: ${s.watts_source ?? 'the server'}`;
    if (positive(ms)) out.push(figure('watts', 'power', 1000 * s.joules / ms, 'W', 'derived', `${source}, over the time of prompt and answer`));
    if (positive(n)) out.push(figure('joules', 'energy', s.joules / n, 'J/token', 'derived', `${source}, over the tokens of the answer`));
  } else if (a.tessera) out.push({ id: 'watts', label: 'power', none: 'not measured on this machine' });

  if (isNumber(n)) out.push(figure('out', 'answer', n, n === 1 ? 'token' : 'tokens', 'measured', 'Counted by the server'));
  const p = u.prompt_tokens ?? t.prompt_n, cached = u.prompt_tokens_details?.cached_tokens ?? t.cache_n;
  if (isNumber(p)) out.push(figure('in', 'prompt', p, p === 1 ? 'token' : 'tokens', 'measured', 'Counted by the server'));
  if (positive(cached))
    out.push(figure('cached', 'reused', cached, 'tokens', 'measured', 'Tokens of the prompt whose keys and values were there already'));
  if (positive(t.prompt_per_second) && t.prompt_n > 1)
    out.push(figure('prompt-rate', 'reading', t.prompt_per_second, 'tokens/s', by, 'Speed of the prompt, by the server'));
  return out;
}

/** The number and its unit as they are shown. */
export function shown(f) {
  if (f.unit === 'ms') return duration(f.value);
  return [/^tokens?$/.test(f.unit) ? count(f.value) : num(f.value), f.unit];
}

/** The strip under an answer. */
export function strip(a, running = false) {
  const list = figuresOf(a).map(f => (f.none ? h('div', { class: 'figure none', 'data-figure': f.id }, h('dt', {}, f.label), h('dd', {}, f.none))
    : h('div', { class: 'figure', 'data-figure': f.id, 'data-value': f.value },
      h('dt', {}, `${f.label} `, mark(f.by, f.title)), h('dd', {}, h('b', {}, shown(f)[0]), ` ${shown(f)[1]}`))));
  for (const [id, label, unit] of [['rates', 'speed over time', 'pieces/s'], ['watts', 'power over time', 'W']]) {
    const values = a.seen?.[id];
    if (Array.isArray(values) && values.length > 2 && values.every(isNumber))
      list.push(h('div', { class: 'figure', 'data-figure': `${id}-line` }, h('dt', {}, `${label} `, mark(id === 'rates' ? 'derived' : 'measured')),
        h('dd', {}, sparkline(values, `${label}, ${unit}`))));
  }
  return h('dl', { class: running ? 'strip running' : 'strip', 'aria-label': 'Figures of this answer' }, list);
}
