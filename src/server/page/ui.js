/* ui.js - small things that all views use: elements, icons, numbers in words, drawers, notes, colours.
 *
 * Elements are made by h() alone. Whatever a model, a server or a file says becomes a text node; no string is ever read as
 * HTML, and the page's Content-Security-Policy would not run it. */

export const $ = id => document.getElementById(id);

/** An element: h('button', {class: 'x', onclick: f, 'aria-label': 'y'}, 'text', node, [more]). false and null are left out. */
export function h(tag, attrs, ...kids) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) el.addEventListener(name.slice(2), value);
    else if (name === 'value') el.value = value;
    else el.setAttribute(name, value === true ? '' : value);
  }
  el.append(...kids.flat(Infinity).filter(k => k !== null && k !== undefined && k !== false));
  return el;
}

const SVG = 'http://www.w3.org/2000/svg';
export function svg(tag, attrs, ...kids) {
  const el = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attrs)) el.setAttribute(name, value);
  el.append(...kids);
  return el;
}

const paths = {
  menu: 'M4 6h16M4 12h16M4 18h10', sliders: 'M4 7h9m5 0h2M4 17h3m5 0h8M13 4.5v5M7 14.5v5M18 7a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0ZM12 17a2.5 2.5 0 1 1-5 0 2.5 2.5 0 0 1 5 0Z',
  keys: 'M3 7.5A1.5 1.5 0 0 1 4.5 6h15A1.5 1.5 0 0 1 21 7.5v9a1.5 1.5 0 0 1-1.5 1.5h-15A1.5 1.5 0 0 1 3 16.5ZM7 10h.01M10.5 10h.01M14 10h.01M17.5 10h.01M8 14h8',
  sun: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2.5v2M12 19.5v2M4.5 4.5 6 6M18 18l1.5 1.5M2.5 12h2M19.5 12h2M4.5 19.5 6 18M18 6l1.5-1.5',
  moon: 'M20 14.5A8.5 8.5 0 1 1 9.5 4a7 7 0 0 0 10.5 10.5Z', auto: 'M12 3.5a8.5 8.5 0 1 0 0 17ZM12 3.5a8.5 8.5 0 0 1 0 17M12 8h7M12 12h8.5M12 16h7',
  clip: 'm20 11-8.5 8.5a5 5 0 0 1-7-7L13 4a3.3 3.3 0 0 1 4.7 4.7L9.5 17a1.7 1.7 0 0 1-2.4-2.4L14.5 7', send: 'M12 19V5M6 11l6-6 6 6', stop: 'M7 7h10v10H7Z',
  down: 'M12 5v14M6 13l6 6 6-6', plus: 'M12 5v14M5 12h14', copy: 'M9 9h10v11H9ZM5 15V4h10', again: 'M19 8a8 8 0 1 0 1 5M20 3v5h-5',
  edit: 'M4 20h4L19 9l-4-4L4 16ZM13 7l4 4', bin: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13', left: 'M14 6l-6 6 6 6', right: 'M10 6l6 6-6 6', close: 'M6 6l12 12M18 6 6 18', check: 'M5 12.5 10 17.5 19 7',
  play: 'M8 5.5v13l10-6.5Z',
};
export const icon = name => svg('svg', { viewBox: '0 0 24 24', class: 'i', 'aria-hidden': 'true', focusable: 'false' }, svg('path', { d: paths[name] }));
export const setIcon = (el, name) => el.replaceChildren(icon(name));
export const button = (text, onclick, attrs) => h('button', { type: 'button', onclick, ...attrs }, text);
export const iconButton = (name, label, onclick, attrs) => button(icon(name), onclick, { class: 'icon', 'aria-label': label, title: label, ...attrs });
export const note = (...kids) => h('p', { class: 'quiet' }, ...kids);
export const quiet = text => h('span', { class: 'quiet' }, text);
/** What scrolls by itself, and can be scrolled by keyboard. */
export const region = (label, ...kids) => h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': label }, ...kids);

/* Numbers. */
const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
export const isNumber = x => typeof x === 'number' && Number.isFinite(x);
export const count = n => grouped.format(n);
/** Three significant digits or all digits in front of the point: 0.0123, 1.23, 12.3, 123, 12,345. */
export function num(x) {
  const a = Math.abs(x);
  if (a >= 100 || x === 0) return grouped.format(x);
  return a >= 10 ? x.toFixed(1) : a >= 1 ? x.toFixed(2) : a >= 1e-4 ? String(Number(x.toPrecision(3))) : x.toExponential(1);
}
export function duration(ms) {
  if (ms < 1) return [num(ms * 1000), 'µs'];
  return ms < 1000 ? [num(ms), 'ms'] : ms < 120e3 ? [num(ms / 1000), 's'] : [num(ms / 60e3), 'min'];
}
export function bytes(n) {
  for (const [unit, size] of [['GB', 1e9], ['MB', 1e6], ['kB', 1e3]]) if (n >= size) return `${num(n / size)} ${unit}`;
  return `${count(n)} B`;
}
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;

/** A line of small values over time, as SVG; the values stand in its label too. */
export function sparkline(values, label) {
  const top = Math.max(...values, 1e-9), step = 100 / Math.max(1, values.length - 1);
  const points = values.map((v, i) => `${(i * step).toFixed(1)},${(19 - 17 * v / top).toFixed(1)}`).join(' ');
  return svg('svg', { class: 'spark', viewBox: '0 0 100 20', preserveAspectRatio: 'none', role: 'img', 'aria-label': `${label}: highest ${num(top)}` },
    svg('polyline', { points, 'vector-effect': 'non-scaling-stroke' }));
}

/* A note at the foot of the page, with at most one thing to do about it. */
let toastTimer;
export function toast(text, action, act) {
  const box = $('toast');
  clearTimeout(toastTimer);
  const hide = () => box.replaceChildren();
  box.replaceChildren(h('span', {}, text), action ? h('button', { type: 'button', onclick: () => { hide(); act(); } }, action) : '');
  toastTimer = setTimeout(hide, action ? 10000 : 5000);
}

/** Text said to a screen reader, and shown to nobody. */
export function say(text) {
  const box = $('say');
  box.append(h('p', {}, text));
  while (box.childElementCount > 6) box.firstChild.remove();
}

export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // no clipboard for pages that came over plain HTTP from elsewhere
    const t = h('textarea', { class: 'sr' });
    t.value = text;
    document.body.append(t);
    t.select();
    document.execCommand('copy');
    t.remove();
  }
  const old = button.firstChild;
  setIcon(button, 'check');
  say('Copied');
  setTimeout(() => button.replaceChildren(old), 1500);
}

/* Settings of the page itself. A browser may refuse storage. */
export const remember = (name, value) => { try { localStorage.setItem(`tessera.${name}`, value); } catch { /* not kept */ } };
export const recall = name => { try { return localStorage.getItem(`tessera.${name}`); } catch { return null; } };

const themes = { auto: 'as the system has them', light: 'light', dark: 'dark' };
const themeIcons = { auto: 'auto', light: 'sun', dark: 'moon' };
export function themeButton(button) {
  let now = document.documentElement.dataset.theme ?? 'auto';
  const show = () => {
    setIcon(button, themeIcons[now]);
    const label = `Colours: ${themes[now]}`;
    button.setAttribute('aria-label', label);
    button.title = label;
    if (now === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = now;
  };
  button.addEventListener('click', () => {
    now = { auto: 'light', light: 'dark', dark: 'auto' }[now];
    remember('theme', now);
    show();
    say(button.title);
  });
  show();
}

/** A side panel: beside the chat where there is room, above it as a drawer where there is not. */
export const narrow = matchMedia('(max-width: 820px)');
const drawers = [];
export function drawer(panel, button, name, openAtFirst) {
  const d = {
    get open() { return !panel.hidden; },
    set(open, byHand = true) {
      if (open === d.open) return;
      if (open && narrow.matches) for (const other of drawers) if (other !== d) other.set(false, false);
      panel.hidden = !open;
      button.setAttribute('aria-expanded', String(open));
      $('scrim').hidden = !(narrow.matches && drawers.some(x => x.open));
      if (!byHand) return;
      if (!narrow.matches) remember(name, open ? 'open' : 'closed');
      if (open) panel.querySelector('button, input, select, textarea')?.focus();
      else button.focus();
    },
  };
  drawers.push(d);
  button.addEventListener('click', () => d.set(!d.open));
  const settle = () => d.set(!narrow.matches && (recall(name) ?? (openAtFirst ? 'open' : 'closed')) === 'open', false);
  narrow.addEventListener('change', settle);
  settle();
  return d;
}
/** Close the drawer that covers the page; false: there is none. */
export function closeDrawers() {
  if (!narrow.matches) return false;
  const open = drawers.find(d => d.open);
  open?.set(false);
  return Boolean(open);
}
