/* ledger.js - where an answer ran: what each operation took on each device, beside the least it could take, and whether the
 * results were the CPU's bit for bit. From GET /tessera/ledger/ID. */
import { getJson, Refused } from './api.js';
import { h, isNumber, bytes, count, num, duration, note, plural, quiet, region } from './ui.js';
import { mark, marks } from './figures.js';

const kinds = ['cpu', 'npu', 'gpu'];
/** A class name for the colour of a device; a simulated one has its own. */
export function deviceClass(row) {
  if (row.evidence === 'simulated') return 'sim';
  return kinds.find(k => row.device?.toLowerCase().startsWith(k)) ?? 'other';
}
/* The server's word for a row, and that its time is a share of passes with other requests, which nobody has measured. */
const shared = row => row.times === 'derived';
const share = () => mark('derived', 'Its share, by tokens, of passes that other requests were in, too');
function worth(rows) {
  const by = marks[rows[0].evidence] ? rows[0].evidence : 'measured';
  return rows.some(shared) ? (by === 'measured' ? share() : [mark(by), share()]) : mark(by);
}
const evidence = r => (!shared(r) ? r.evidence ?? '' : !r.evidence || r.evidence === 'measured' ? 'derived' : `${r.evidence}, derived`);
const time = ns => duration(ns / 1e6).join(' ');
const n = x => (isNumber(x) && x >= 0 ? x : 0);

function bar(row, longest) {
  const fill = h('span', { class: `fill ${deviceClass(row)}` }), track = h('span', { class: 'track', 'aria-hidden': 'true' }, fill);
  fill.style.width = `${100 * n(row.device_ns) / longest}%`;
  if (n(row.bound_ns)) {
    const tick = h('span', { class: 'bound', title: `at the least ${time(row.bound_ns)}` });
    tick.style.left = `${Math.min(100, 100 * row.bound_ns / longest)}%`;
    track.append(tick);
  }
  return h('div', { class: 'ran' }, h('span', { class: 'op' }, row.op, row.types ? h('small', {}, ` ${row.types}`) : ''), track,
    h('span', { class: 'took' }, time(n(row.device_ns))));
}

const sum = (rows, of) => rows.reduce((s, r) => s + n(of(r)), 0);
const sumsEqual = r => r.sum_device === r.sum_cpu;
function verdict(rows) {
  const checked = sum(rows, r => r.checked), differ = sum(rows, r => r.differ);
  const say = (kind, text) => h('p', { class: `verdict ${kind}` }, text);
  if (differ) return say('bad', `${count(differ)} of ${plural(checked, 'compared result')} differ from the CPU's.`);
  if (rows.some(r => n(r.checked) && !sumsEqual(r))) return say('bad', 'The checksum of an operation is not the CPU\'s.');
  if (checked) return say('good', `Checksums equal: ${plural(checked, 'result')} of devices compared with the CPU's, bit for bit.`);
  return say('', rows.every(r => deviceClass(r) === 'cpu') ? 'All of it ran on the CPU; there was nothing to compare.'
    : 'No result was compared with the CPU: the server was not started with --ledger-check.');
}

function legend(rows) {
  const part = sum(rows, r => r.share) > 0 ? r => n(r.share) : r => n(r.device_ns), all = sum(rows, part);
  const devices = new Map();
  for (const r of rows) {
    const d = devices.get(r.device) ?? { ns: 0, share: 0, rows: [] };
    d.ns += n(r.device_ns);
    d.share += part(r);
    d.rows.push(r);
    devices.set(r.device, d);
  }
  const swatch = row => h('span', { class: `swatch ${deviceClass(row)}`, 'aria-hidden': 'true' });
  const percent = d => (all ? [h('b', {}, `${Math.round(100 * d.share / all)} %`), mark('derived', 'Share of all operations\' time')] : '');
  return h('ul', { class: 'legend' }, [...devices].map(([name, d]) => h('li', {}, swatch(d.rows[0]), h('span', {}, name), h('b', {}, time(d.ns)),
    worth(d.rows), percent(d))),
  rows.some(r => n(r.bound_ns)) ? h('li', { class: 'quiet' }, h('span', { class: 'bound', 'aria-hidden': 'true' }), 'the least it could take') : '');
}

const columns = [
  ['Operation', r => `${r.op}${r.types ? ` ${r.types}` : ''}`], ['Device', r => r.device], ['Evidence', evidence],
  ['Calls', r => count(n(r.calls))], ['Tokens', r => count(n(r.tokens))], ['Weights', r => (n(r.weight_bytes) ? bytes(r.weight_bytes) : '')],
  ['Activations', r => (n(r.act_bytes) ? bytes(r.act_bytes) : '')], ['Time', r => time(n(r.device_ns))],
  ['Host', r => (n(r.host_ns) ? time(r.host_ns) : '')], ['At the least', r => (n(r.bound_ns) ? time(r.bound_ns) : '')], ['Share', r => (isNumber(r.share) ? `${num(100 * r.share)} %` : '')],
  ['Compared', r => (n(r.differ) ? `${count(r.differ)} of ${count(n(r.checked))} differ` : n(r.checked) ? `${count(r.checked)} equal` : '')],
  ['Checksum', r => (n(r.checked) ? (sumsEqual(r) ? r.sum_device ?? '' : `${r.sum_device}, the CPU's ${r.sum_cpu}`) : '')],
];
function table(rows) {
  return region('Where it ran, as a table', h('table', { class: 'numbers' },
    h('caption', { class: 'sr' }, 'Operations, devices, times'),
    h('thead', {}, h('tr', {}, columns.map(([name]) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, rows.map(r => h('tr', {}, columns.map(([, f], i) => (i ? h('td', {}, f(r)) : h('th', { scope: 'row' }, f(r)))))))));
}

/** The panel of a ledger that has been fetched. */
export function ledgerPanel(ledger) {
  const rows = (Array.isArray(ledger.rows) ? ledger.rows : []).filter(r => typeof r?.op === 'string' && typeof r.device === 'string');
  if (!rows.length) return h('p', { class: 'verdict' }, ledger.note || 'The ledger of this answer is empty.');
  const byTime = [...rows].sort((a, b) => n(b.device_ns) - n(a.device_ns));
  const longest = Math.max(1, ...rows.map(r => Math.max(n(r.device_ns), n(r.bound_ns))));
  const few = byTime.slice(0, 12), rest = sum(byTime.slice(12), r => r.device_ns);
  return h('div', { class: 'ledger' }, verdict(rows), legend(rows),
    h('div', { class: 'bars' }, few.map(r => bar(r, longest))),
    rest ? note(`and ${plural(rows.length - 12, 'more operation')}, ${time(rest)} in all, in the table`) : '',
    h('details', {}, h('summary', {}, 'All of it, as a table'), table(byTime)),
    ledger.note ? note(String(ledger.note)) : '');
}

/** "Where it ran", which asks the server when it is opened; null: the answer has no ledger. */
export function whereItRan(answer) {
  const id = answer.tessera?.ledger_id;
  if ((typeof id !== 'string' && !isNumber(id)) || id === '') return null;
  const place = h('div', { class: 'ledger-place' }, note('Asking the server …'));
  const { device } = answer.tessera;
  const details = h('details', { class: 'where' }, h('summary', {}, 'Where it ran', device ? quiet(` · ${device}`) : ''), place);
  let asked = false;
  details.addEventListener('toggle', async () => {
    if (!details.open || asked) return;
    asked = true;
    try {
      place.replaceChildren(ledgerPanel(await getJson(`tessera/ledger/${encodeURIComponent(id)}`, { base: answer.base ?? '' })));
    } catch (e) {
      asked = false; // it may be asked again
      const gone = e instanceof Refused && e.status === 404;
      place.replaceChildren(note(gone ? 'The server has let this ledger go: it keeps those of its latest answers.' : e.message));
    }
  });
  return details;
}
