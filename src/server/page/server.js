/* server.js - the state of the server: models, slots as lanes, what happens now, counters, peers. Asked only while it is looked at. */
import * as api from './api.js';
import { $, h, isNumber, bytes, count, note, num, plural, quiet, region, sparkline } from './ui.js';
import { mark, marks } from './figures.js';

const KEEP = 120; // samples of a sparkline: half a minute
let watch = null, past = { tok_s: [], watts: [] };

export function init() {
  const part = (id, title) => h('section', { class: 'card', 'aria-labelledby': `${id}-title` }, h('h3', { id: `${id}-title` }, title),
    h('div', { id }, note('Asking …')));
  $('view-server').replaceChildren(h('div', { class: 'page' }, h('h2', {}, 'Server'), h('div', { class: 'cards' },
    part('srv-live', 'Now'), part('srv-slots', 'Slots'), part('srv-models', 'Models'), part('srv-metrics', 'Counters'),
    h('div', { class: 'stack' }, part('srv-peers', 'Peers'), part('srv-template', 'Chat template')))));
}

/** Fill a part, or say in it why it cannot be filled. */
async function fill(id, ask, build) {
  try {
    const answer = await ask();
    const kids = [build(answer)].flat();
    if (!$(id).contains(document.activeElement) || document.activeElement === document.body) $(id).replaceChildren(...kids);
  } catch (e) {
    const unknown = e instanceof api.Refused && [404, 501].includes(e.status);
    if (e.name !== 'AbortError') $(id).replaceChildren(note(unknown ? 'This server does not say.' : e.message));
  }
}

const cells = (tag, list) => list.map(x => h(tag, tag === 'th' ? { scope: 'col' } : {}, x));
const grid = (label, head, rows) => region(label, h('table', { class: 'numbers' }, h('thead', {}, h('tr', {}, cells('th', head))), h('tbody', {}, rows)));

function models(list) {
  const states = list.some(m => typeof m.loaded === 'boolean');
  const row = ({ id, meta = {}, loaded }) => h('tr', {}, h('th', { scope: 'row' }, id), cells('td', [meta.device ?? '',
    isNumber(meta.n_params) ? `${num(meta.n_params / 1e6)} M` : '', isNumber(meta.size) ? bytes(meta.size) : '',
    isNumber(meta.n_ctx) ? count(meta.n_ctx) : '', ...(states ? [loaded ? 'loaded' : 'not loaded'] : [])]));
  const head = ['Name', 'Device', 'Parameters', 'Size', 'Context', ...(states ? ['State'] : [])];
  return list.length ? grid('Table of models', head, list.map(row)) : note('No model is loaded.');
}

function lane(s) {
  const read = s.n_prompt_done ?? 0, wrote = s.n_decoded ?? 0, reading = s.is_processing && isNumber(s.n_prompt) && read < s.n_prompt;
  const used = isNumber(s.n_ctx) && s.n_ctx > 0 ? Math.min(1, (read + wrote) / s.n_ctx) : 0, fill = h('span', { class: `fill ${reading ? 'reading' : 'cpu'}` });
  fill.style.width = `${s.is_processing ? Math.max(1, 100 * (reading ? read / s.n_prompt : used)) : 0}%`;
  const words = reading ? `prompt ${count(read)} of ${count(s.n_prompt)}` : `${plural(wrote, 'token')}${used ? `, context ${Math.round(100 * used)} %` : ''}`;
  return h('li', { 'data-busy': String(Boolean(s.is_processing)) },
    h('span', { class: 'op' }, `Slot ${s.id}`, s.model ? h('small', {}, ` ${s.model}`) : ''),
    h('span', { class: 'track', 'aria-hidden': 'true' }, fill), h('span', { class: 'took' }, s.is_processing ? words : 'free'));
}
const slots = list => h('ul', { class: 'lanes' }, list.map(lane));

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
  const shown = x => (!isNumber(Number(x)) ? x : Number.isInteger(Number(x)) ? count(Number(x)) : num(Number(x)));
  const row = m => h('tr', { 'data-metric': m.name + (m.labels ? `{${m.labels}}` : ''), 'data-value': m.value, title: m.help },
    h('th', { scope: 'row' }, name(m.name), m.labels ? h('small', {}, ` ${m.labels}`) : ''),
    h('td', {}, h('b', {}, shown(m.value)), ' ', mark('measured')));
  return grid('Counters of /metrics', ['Counter', 'Value'], parseMetrics(text).map(row));
}

function showLive(l) {
  for (const k of Object.keys(past)) if (isNumber(l[k])) past[k] = [...past[k], l[k]].slice(-KEEP);
  const line = k => (past[k]?.length > 2 ? sparkline(past[k], k === 'watts' ? 'power' : 'speed') : '');
  const figure = (id, label, value, unit, by = 'measured') => h('div', { class: 'figure', 'data-figure': id },
    h('dt', {}, `${label} `, mark(by)), h('dd', {}, h('b', {}, value), ` ${unit} `, line(id)));
  const rate = (id, label) => (isNumber(l[id]) ? figure(id, label, num(l[id]), 'tokens/s', marks[l.evidence] ? l.evidence : 'measured') : '');
  const requests = (id, label) => (isNumber(l[id]) ? figure(id, label, count(l[id]), l[id] === 1 ? 'request' : 'requests') : '');
  const power = isNumber(l.watts) ? figure('watts', 'power', num(l.watts), 'W')
    : h('div', { class: 'figure none', 'data-figure': 'watts' }, h('dt', {}, 'power'), h('dd', {}, 'not measured on this machine'));
  $('srv-live').replaceChildren(h('dl', { class: 'strip' }, rate('tok_s', 'writing'), rate('prompt_tok_s', 'reading'),
    requests('processing', 'answering'), requests('waiting', 'waiting'),
    isNumber(l.kv_bytes) ? figure('kv', 'keys and values', ...bytes(l.kv_bytes).split(' ')) : '', power),
  l.watts_source && isNumber(l.watts) ? note(`Power: ${l.watts_source}`) : '');
}

const pause = (ms, signal) => new Promise(go => {
  const timer = setTimeout(go, ms);
  signal.addEventListener('abort', () => { clearTimeout(timer); go(); });
});
const template = p => (p.chat_template ? h('pre', { tabindex: '0', role: 'region', 'aria-label': 'Text of the template' }, p.chat_template) : note('None.'));
const peerList = ({ peers }) => (peers.length ? h('ul', { class: 'plain' }, peers.map(p => h('li', {}, `${p.name} `, quiet(p.base))))
  : note('None. A server started with --peer NAME=URL can be compared with this one.'));

/** Look while the view is open. */
export function enter() {
  if (watch) return;
  watch = new AbortController();
  const { signal } = watch, get = (path, f = api.getJson) => () => f(path, { signal });
  fill('srv-template', get('props'), template);
  fill('srv-peers', get('tessera/peers'), peerList);
  (async () => {
    let silent = true;
    while (!signal.aborted) {
      const t = performance.now();
      await api.live(signal, l => { silent = false; showLive(l); });
      if (silent && !signal.aborted) $('srv-live').replaceChildren(note('This server does not say.'));
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
