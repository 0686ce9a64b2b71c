/* app.js - the page begins here: views, keys of the keyboard, whether the server answers, its key. */
import * as api from './api.js';
import * as store from './store.js';
import * as chat from './chat.js';
import * as compare from './compare.js';
import * as server from './server.js';
import * as settings from './settings.js';
import { $, h, setIcon, themeButton, drawer, closeDrawers, toast } from './ui.js';

for (const el of document.querySelectorAll('[data-icon]')) {
  setIcon(el, el.dataset.icon);
  el.title ||= el.getAttribute('aria-label') ?? '';
}
themeButton($('theme'));
const side = drawer($('side'), $('side-toggle'), 'side', true);
const settingsDrawer = drawer($('settings'), $('settings-toggle'), 'settings', false);
$('scrim').addEventListener('click', closeDrawers);

/* ---- views ------------------------------------------------------------------------------------------------------------------------ */

const views = ['chat', 'compare', 'server'];
let view = 'chat';
function go(name, focus = false) {
  view = views.includes(name) ? name : 'chat';
  for (const v of views) {
    const on = v === view, tab = $(`tab-${v}`);
    $(`view-${v}`).hidden = !on;
    tab.setAttribute('aria-selected', String(on));
    tab.tabIndex = on ? 0 : -1;
    if (on && focus) tab.focus();
  }
  document.body.dataset.view = view;
  closeDrawers();
  if (location.hash.slice(1) !== view && (location.hash || view !== 'chat')) history.replaceState(null, '', `#${view}`);
  if (view === 'server') server.enter(); else server.leave();
  if (view === 'compare') compare.refresh();
}
for (const v of views) $(`tab-${v}`).addEventListener('click', () => go(v));
document.querySelector('[role=tablist]').addEventListener('keydown', e => {
  const i = views.indexOf(view), to = { ArrowRight: i + 1, ArrowLeft: i + views.length - 1, Home: 0, End: views.length - 1 }[e.key];
  if (to === undefined) return;
  e.preventDefault();
  go(views[to % views.length], true);
});
addEventListener('hashchange', () => go(location.hash.slice(1)));
document.addEventListener('visibilitychange', () => { // a tab that nobody sees asks nothing
  if (document.hidden) server.leave();
  else {
    if (view === 'server') server.enter();
    check();
  }
});

/* ---- does the server answer? ---------------------------------------------------------------------------------------------------------- */

let state = 'asking', retry = 0, timer = 0;
function tell(now, words) {
  state = now;
  $('state').dataset.state = now;
  $('state-text').textContent = words;
}
/** A line over everything, with something to do about it; without a text: gone. */
function banner(text, action, act) {
  $('banner').hidden = !text;
  $('banner').replaceChildren(...(text ? [h('span', {}, text), h('button', { type: 'button', onclick: () => act() }, action)] : []));
}
function down() {
  if (state === 'down') return;
  tell('down', 'no answer');
  banner(`The server at ${location.host} does not answer. Your conversations are kept in this browser; the page goes on as soon as it is
    back.`, 'Try now', check);
  retry = 0;
  plan();
}
async function up() {
  const was = state;
  if (was === 'up' || was === 'locked') return;
  tell('up', 'ready');
  banner();
  if (was === 'down') toast('The server is back.');
  await learn();
}
function plan() {
  clearTimeout(timer);
  timer = setTimeout(check, state === 'up' ? 5000 : Math.min(3000, 500 * 2 ** retry++));
}
async function check() {
  clearTimeout(timer);
  if (document.hidden) return;
  try {
    const response = await api.request('health', { quiet: true });
    await response.body?.cancel();
    await up();
  } catch (e) {
    if (e instanceof api.Refused) tell('loading', e.status === 503 ? 'loading' : `answers ${e.status}`); // Offline has told itself
  }
  plan();
}
/** What the server has: models, defaults. */
async function learn() {
  try {
    chat.setModels((await api.getJson('v1/models')).data);
    if (state === 'locked') {
      tell('up', 'ready');
      banner();
    }
    settings.defaults(await api.getJson('props'));
    if (view === 'compare') compare.refresh();
  } catch (e) {
    if (!(e instanceof api.Refused) || e.status !== 401) return;
    tell('locked', 'needs a key');
    banner('This server answers only to those who have its key.', 'Enter the key', learn);
  }
}

function askKey(again) {
  const dialog = $('key-dialog');
  $('key-why').textContent = again ? 'The server does not know that key. Is it the one that the server was started with?'
    : 'It stays in this tab, and goes when the tab is closed.';
  $('key').value = '';
  dialog.showModal();
  return new Promise(ready => {
    let key = null;
    $('key-form').onsubmit = e => { e.preventDefault(); key = $('key').value; dialog.close(); };
    $('key-cancel').onclick = () => dialog.close();
    dialog.addEventListener('close', () => ready(key), { once: true });
  });
}

/* ---- keyboard ------------------------------------------------------------------------------------------------------------------------- */

const keys = [['Enter', 'send the message'], ['Shift + Enter', 'a new line'], ['Esc', 'stop the answer; close what is open'],
  ['Ctrl + Shift + O', 'a new chat'], ['/', 'to the composer'], ['Alt + 1, 2, 3', 'Chat, Compare, Server'], ['?', 'this list']];
const caps = k => k.split(/( \+ |, )/).map((x, i) => (i % 2 ? x : h('kbd', {}, x)));
$('help-keys').replaceChildren(...keys.flatMap(([k, what]) => [h('dt', {}, caps(k)), h('dd', {}, what)]));
const help = () => $('help-dialog').showModal();
$('help').addEventListener('click', help);
$('help-close').addEventListener('click', () => $('help-dialog').close());

addEventListener('keydown', e => {
  if (document.querySelector('dialog[open]')) return;
  const typing = e.target.closest?.('input, textarea, select'), composer = () => { go('chat'); $('text').focus(); };
  if (e.key === 'Escape') { if (!closeDrawers() && !(view === 'compare' ? compare.stop() : chat.stop())) return; }
  else if (e.ctrlKey && e.shiftKey && e.key.toLowerCase() === 'o') { go('chat'); chat.newChat(); }
  else if (e.altKey && !e.ctrlKey && /^[123]$/.test(e.key)) go(views[e.key - 1], true);
  else if (!typing && e.key === '/' && !e.ctrlKey && !e.metaKey) composer();
  else if (!typing && e.key === '?') help();
  else return;
  e.preventDefault();
});

/* ---- begin ------------------------------------------------------------------------------------------------------------------------------ */

api.listen({ askKey, offline: down, cut: check });
const kept = await store.open();
compare.init();
server.init();
await chat.init(settingsDrawer, side);
go(location.hash.slice(1));
if (!kept) toast('This browser keeps no data for this page: conversations go when it is closed.');
document.body.dataset.ready = 'yes';
await check();
