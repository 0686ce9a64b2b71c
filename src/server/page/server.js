/* server.js - the state of the server: models, slots as lanes, what happens now, counters, peers. Asked only while it is looked at. */
import * as api from './api.js';
import { $, h, isNumber, bytes, count, num, plural, sparkline } from './ui.js';
import { mark, marks } from './figures.js';

const KEEP = 120; // samples of a sparkline: half a minute
let watch = null, past = { tok_s: [], watts: [] };

export function init() {
  const part = (id, title) => h('section', { class: 'card', 'aria-labelledby': `${id}-title` }, h('h3', { id: `${id}-title` }, title), h('div', { id }, h('p', { class: 'quiet' }, 'Asking …')));
  $('view-server').replaceChildren(h('div', { class: 'page' }, h('h2', {}, 'Server'), h('div', { class: 'cards' },
    part('srv-live', 'Now'), part('srv-slots', 'Slots'), part('srv-models', 'Models'), part('srv-metrics', 'Counters'), h('div', { class: 'stack' }, part('srv-peers', 'Peers'), part('srv-template', 'Chat template')))));
}

/** Fill a part, or say in it why it cannot be filled. */
async function fill(id, ask, build) {
  try {
    const answer = await ask();
    const kids = [build(answer)].flat();
    if (!$(id).contains(document.activeElement) || document.activeElement === document.body) $(id).replaceChildren(...kids);
  } catch (e) {
    if (e.name !== 'AbortError') $(id).replaceChildren(h('p', { class: 'quiet' }, e instanceof api.Refused && [404, 501].includes(e.status) ? 'This server does not say.' : e.message));
  }
}

const cells = (tag, list) => list.map(x => h(tag, tag === 'th' ? { scope: 'col' } : {}, x));
function grid(label, head, rows) {
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label }, h('table', { class: 'numbers' }, h('thead', {}, h('tr', {}, cells('th', head))),
    h('tbody', {}, rows)));
}

function models(list) {
  const state = m => (typeof m.loaded === 'boolean' ? (m.loaded ? 'loaded' : 'not loaded') : ''), states = list.some(state);
  const row = m => h('tr', {}, h('th', { scope: 'row' }, m.id), cells('td', [m.meta?.device ?? '', isNumber(m.meta?.n_params) ? `${num(m.meta.n_params / 1e6)} M` : '', isNumber(m.meta?.size) ? bytes(m.meta.size) : '',
    isNumber(m.meta?.n_ctx) ? count(m.meta.n_ctx) : '', ...(states ? [String(state(m))] : [])]));
  return list.length ? grid('Table of models', ['Name', 'Device', 'Parameters', 'Size', 'Context', ...(states ? ['State'] : [])], list.map(row)) : h('p', { class: 'quiet' }, 'No model is loaded.');
}

function slots(list) {
  return h('ul', { class: 'lanes' }, list.map(s => {
    const reading = s.is_processing && isNumber(s.n_prompt) && s.n_prompt_done < s.n_prompt, read = isNumber(s.n_prompt) && s.n_prompt ? s.n_prompt_done / s.n_prompt : 0;
    const used = Math.min(1, ((s.n_prompt_done ?? 0) + (s.n_decoded ?? 0)) / (s.n_ctx || 1)), fill = h('span', { class: `fill ${reading ? 'reading' : 'cpu'}` });
    fill.style.width = `${s.is_processing ? Math.max(1, 100 * (reading ? read : used)) : 0}%`;
    return h('li', { 'data-busy': String(Boolean(s.is_processing)) }, h('span', { class: 'op' }, `Slot ${s.id}`, s.model ? h('small', {}, ` ${s.model}`) : ''), h('span', { class: 'track', 'aria-hidden': 'true' }, fill),
      h('span', { class: 'took' }, !s.is_processing ? 'free' : reading ? `prompt ${count(s.n_prompt_done)} of ${count(s.n_prompt)}` : `${plural(s.n_decoded ?? 0, 'token')}, context ${Math.round(100 * used)} %`));
  }));
}

const name = n => n.replace(/^(tessera|llamacpp)[:_]/, '').replace(/_total$/, '').replaceAll('_', ' ');
/** The samples of Prometheus's text form: [{name, labels, value, help}]. */
export function parseMetrics(text) {
  const help = {}, out = [];
  for (const line of text.split('\n')) {
    const about = /^# HELP (\S+) (.*)$/.exec(line), sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)/.exec(line);
    if (about) help[about[1]] = about[2];
    else if (sample && !line.startsWith('#')) out.push({ name: sample[1], labels: sample[2] ?? '', value: sample[3], help: help[sample[1]] ?? '' });
  }
  return out;
}
function metrics(text) {
  const row = m => h('tr', { 'data-metric': m.name + (m.labels ? `{${m.labels}}` : ''), 'data-value': m.value, title: m.help },
    h('th', { scope: 'row' }, name(m.name), m.labels ? h('small', {}, ` ${m.labels}`) : ''), h('td', {}, h('b', {}, Number.isInteger(Number(m.value)) ? count(Number(m.value)) : isNumber(Number(m.value)) ? num(Number(m.value)) : m.value), ' ', mark('measured')));
  return grid('Counters of /metrics', ['Counter', 'Value'], parseMetrics(text).map(row));
}

function showLive(l) {
  for (const k of Object.keys(past)) if (isNumber(l[k])) past[k] = [...past[k], l[k]].slice(-KEEP);
  const by = marks[l.evidence] ? l.evidence : 'measured';
  const figure = (id, label, value, unit, more) => h('div', { class: 'figure', 'data-figure': id }, h('dt', {}, `${label} `, mark(/tok_s/.test(id) ? by : 'measured')), h('dd', {}, h('b', {}, value), ` ${unit} `, more ?? ''));
  const power = isNumber(l.watts) ? figure('watts', 'power', num(l.watts), 'W', past.watts.length > 2 ? sparkline(past.watts, 'power') : null)
    : h('div', { class: 'figure none', 'data-figure': 'watts' }, h('dt', {}, 'power'), h('dd', {}, 'not measured on this machine'));
  $('srv-live').replaceChildren(h('dl', { class: 'strip' }, [['tok_s', 'writing', 'tokens/s'], ['prompt_tok_s', 'reading', 'tokens/s']].filter(([k]) => isNumber(l[k])).map(([k, label, unit]) =>
    figure(k, label, num(l[k]), unit, k === 'tok_s' && past.tok_s.length > 2 ? sparkline(past.tok_s, label) : null)),
  isNumber(l.processing) ? figure('processing', 'answering', count(l.processing), l.processing === 1 ? 'request' : 'requests') : '', isNumber(l.waiting) ? figure('waiting', 'waiting', count(l.waiting), l.waiting === 1 ? 'request' : 'requests') : '',
  isNumber(l.kv_bytes) ? figure('kv', 'keys and values', ...bytes(l.kv_bytes).split(' ')) : '', power),
  l.watts_source && isNumber(l.watts) ? h('p', { class: 'quiet' }, `Power: ${l.watts_source}`) : '');
}

const pause = (ms, signal) => new Promise(go => { const t = setTimeout(go, ms); signal.addEventListener('abort', () => { clearTimeout(t); go(); }); });

/** Look while the view is open. */
export function enter() {
  if (watch) return;
  watch = new AbortController();
  const { signal } = watch, get = (path, f = api.getJson) => () => f(path, { signal });
  fill('srv-template', get('props'), p => (p.chat_template ? h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Text of the template' }, p.chat_template) : h('p', { class: 'quiet' }, 'None.')));
  fill('srv-peers', get('tessera/peers'), ({ peers }) => (peers.length ? h('ul', { class: 'plain' }, peers.map(p => h('li', {}, p.name, ' ', h('span', { class: 'quiet' }, p.base)))) : h('p', { class: 'quiet' }, 'None. A server started with --peer NAME=URL can be compared with this one.')));
  (async () => {
    let quiet = true;
    while (!signal.aborted) {
      const t = performance.now();
      await api.live(signal, l => { quiet = false; showLive(l); });
      if (quiet && !signal.aborted) $('srv-live').replaceChildren(h('p', { class: 'quiet' }, 'This server does not say.'));
      await pause(Math.max(500, 3000 - (performance.now() - t)), signal);
    }
  })();
  (async () => {
    while (!signal.aborted) {
      await Promise.all([fill('srv-slots', get('slots'), slots), fill('srv-models', get('v1/models'), m => models(m.data)),
        fill('srv-metrics', get('metrics', api.getText), metrics)]);
      await pause(1000, signal);
    }
  })();
}
export function leave() {
  watch?.abort();
  watch = null;
}
