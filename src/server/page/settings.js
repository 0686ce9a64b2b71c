/* settings.js - how answers of a conversation are made: system prompt, sampling, form of the answer; the panel at the right.
 *
 * What is left empty is not sent, and the server's own default holds, which is shown in the empty field. */
import { $, h, button, iconButton, isNumber, note } from './ui.js';

const numbers = [ // name in requests, label, lowest, highest, step, names of the default in /props
  ['temperature', 'Temperature', 0, 2, 0.05], ['top_p', 'Top p', 0, 1, 0.01], ['top_k', 'Top k', 0, 100000, 1], ['min_p', 'Min p', 0, 1, 0.01],
  ['repeat_penalty', 'Repeat penalty', 0, 10, 0.05], ['seed', 'Seed', -1, 4294967295, 1], ['max_tokens', 'Tokens at most', 1, 1e6, 1],
];
const example = `{
  "type": "object",
  "properties": {
    "name": {"type": "string"},
    "year": {"type": "integer"}
  },
  "required": ["name", "year"]
}`;

const forms = { text: 'Free text', json_object: 'JSON', json_schema: 'JSON by a schema' };

let settings = {}, changed = () => {};
const field = {}, error = {};

function set(name, value) {
  if (value === undefined || value === '') delete settings[name]; else settings[name] = value;
  changed(settings);
}
function complain(name, text) {
  error[name].textContent = text ?? '';
  field[name].setAttribute('aria-invalid', String(Boolean(text)));
}
function labelled(name, label, input, note) {
  field[name] = input;
  error[name] = h('span', { class: 'error', id: `error-${name}`, role: 'alert' });
  input.id = `set-${name}`;
  input.setAttribute('aria-describedby', `error-${name}`);
  return h('div', { class: 'field' }, h('label', { for: input.id }, label), input, note ? h('span', { class: 'quiet' }, note) : '', error[name]);
}

function numberField([name, label, low, high, step]) {
  const input = h('input', { type: 'number', min: low, max: high, step: 'any', inputmode: step < 1 ? 'decimal' : 'numeric', oninput: () => {
    const v = input.value === '' ? undefined : Number(input.value);
    const bad = input.validity.badInput || (v !== undefined && (v < low || v > high || (step === 1 && !Number.isInteger(v))));
    complain(name, bad ? `${step === 1 ? 'A whole number' : 'A number'} from ${low} to ${high}` : '');
    if (!bad) set(name, v);
  } });
  return labelled(name, label, input);
}

/** What is wrong with the text of a schema; '' if nothing is. */
export function schemaFault(text) {
  if (!text.trim()) return 'A JSON schema is needed for this form.';
  try {
    const s = JSON.parse(text);
    return typeof s === 'boolean' || (s !== null && typeof s === 'object' && !Array.isArray(s)) ? '' : 'A schema is a JSON object.';
  } catch (e) { return `Not JSON: ${e.message}`; }
}
const checkSchema = () => complain('schema', settings.format === 'json_schema' ? schemaFault(settings.schema ?? '') : '');

/** Build the panel. `onchange(settings)` hears of every change, `close` hides the panel. */
export function init(onchange, close) {
  changed = onchange;
  const system = h('textarea', { rows: '3', oninput: () => set('system', system.value) });
  const stop = h('textarea', { rows: '1', oninput: () => set('stop', stop.value) });
  const format = h('select', { onchange: () => { set('format', format.value === 'text' ? '' : format.value); show(); } },
    Object.entries(forms).map(([value, words]) => h('option', { value }, words)));
  const typed = () => { set('schema', schema.value); checkSchema(); };
  const schema = h('textarea', { rows: '9', class: 'mono', spellcheck: 'false', placeholder: example, oninput: typed });
  const forget = () => {
    for (const k of Object.keys(settings)) if (k !== 'model') delete settings[k];
    changed(settings);
    show();
  };
  $('settings').replaceChildren(
    h('div', { class: 'panel-head' }, h('h2', {}, 'Settings'), iconButton('close', 'Close the settings', close)),
    labelled('system', 'System prompt', system),
    h('fieldset', {}, h('legend', {}, 'Sampling'), h('div', { class: 'pairs' }, numbers.map(numberField))),
    labelled('stop', 'Stop at', stop, 'One text a line'),
    labelled('format', 'Form of the answer', format),
    labelled('schema', 'JSON schema', schema),
    h('p', { class: 'row' }, button('Back to the server’s defaults', forget)),
    note('These hold for this conversation; the next one begins with them.'));
}

function show() {
  for (const name of Object.keys(field)) {
    field[name].value = settings[name] ?? (name === 'format' ? 'text' : '');
    complain(name, '');
  }
  field.schema.parentElement.hidden = settings.format !== 'json_schema';
  checkSchema();
}
export function use(s) {
  settings = s;
  show();
}

/** The server's defaults, as the empty fields' placeholders. */
export function defaults(props) {
  const d = { ...props?.default_generation_settings, ...props?.default_generation_settings?.params };
  for (const [name] of numbers) field[name].placeholder = isNumber(d[name]) ? String(Number(d[name].toPrecision(4))) : '';
  field.seed.placeholder = 'random';
}

/** The fields of a request. Throws an Error that a person understands if they cannot be sent. */
export function fields(s) {
  const out = {};
  for (const [name] of numbers) if (isNumber(s[name])) out[name] = s[name];
  const stop = (s.stop ?? '').split('\n').filter(Boolean);
  if (stop.length) out.stop = stop;
  if (s.format === 'json_object') out.response_format = { type: 'json_object' };
  if (s.format === 'json_schema') {
    const fault = schemaFault(s.schema ?? '');
    if (fault) throw new Error(fault);
    out.response_format = { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: JSON.parse(s.schema) } };
  }
  return out;
}

/** Show what the server has refused at the field that it is about; false: none of them. */
export function refused(e) {
  const name = /^response_format|schema/.test(e.param ?? '') ? 'schema' : e.param?.split(/[.[]/)[0];
  if (!error[name] || (name === 'schema' && settings.format !== 'json_schema')) return false;
  complain(name, e.message);
  return true;
}
