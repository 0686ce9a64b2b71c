/* markdown.js - a subset of Markdown, as nodes: paragraphs, headings, lists, quotes, tables, code, emphasis, links.
 *
 * The text is a model's and is not trusted: it becomes text nodes inside elements made here, HTML in it stays text, and a
 * link is one only to http or https. Everything runs in time linear in the text (bounded look-ahead, remembered failures), nested
 * at most DEPTH deep. A newline within a paragraph is a line break, as chats write them. */
import { h, iconButton, copy } from './ui.js';

const DEPTH = 8;

/* ---- blocks: [{type, start, end, ...}], found line by line -------------------------------------------------------------- */

const fence = /^ {0,3}(`{3,}|~{3,})[ \t]*([^`]*)$/;
const heading = /^ {0,3}(#{1,6})(?:[ \t]+(.*))?$/;
const rule = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const quote = /^ {0,3}>/;
const item = /^( {0,3})([-*+]|\d{1,9}[.)])([ \t]+|$)/;

const lineAt = (src, at) => { const end = src.indexOf('\n', at); return end < 0 ? src.slice(at) : src.slice(at, end); };
const after = (at, line) => at + line.length + 1; // may be one beyond the end
const blank = line => !/\S/.test(line);
const indent = line => line.length - line.trimStart().length;
const isDelimiter = line => line.includes('|') && /^\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?$/.test(line.trim());
const isTable = (src, at, line) => line.includes('|') && after(at, line) < src.length && isDelimiter(lineAt(src, after(at, line)));
const interrupts = (src, at, line) => fence.test(line) || /^ {0,3}#{1,6}[ \t]/.test(line) || rule.test(line) || quote.test(line) ||
  /^ {0,3}([-*+]|1[.)])[ \t]/.test(line) || isTable(src, at, line);

function readCode(src, start, found) {
  const mark = found[1], pad = indent(lineAt(src, start)), body = [];
  let at = after(start, lineAt(src, start)), closed = false;
  while (at < src.length && !closed) {
    const line = lineAt(src, at), t = line.trim();
    closed = t.length >= mark.length && t === mark[0].repeat(t.length) && indent(line) < 4;
    if (!closed) body.push(pad ? line.slice(Math.min(pad, indent(line))) : line);
    at = after(at, line);
  }
  return { type: 'code', lang: found[2].trim().split(/\s/)[0].slice(0, 30), body: body.join('\n'), end: at };
}

function readQuote(src, start) {
  const lines = [];
  let at = start;
  for (let line; at < src.length && quote.test(line = lineAt(src, at)); at = after(at, line)) lines.push(line.replace(/^ {0,3}> ?/, ''));
  return { type: 'quote', inner: lines.join('\n'), end: at };
}

function readList(src, start) {
  const first = item.exec(lineAt(src, start)), bullet = !/\d/.test(first[2]), items = [];
  let at = start, width = 0, loose = false, gap = false;
  while (at < src.length) {
    const line = lineAt(src, at);
    if (blank(line)) { gap = true; at = after(at, line); continue; }
    const m = item.exec(line), lead = indent(line);
    if (items.length && lead >= width && lead > 0) items.at(-1).push(...(gap ? [''] : []), line.slice(width));
    else if (m && /\d/.test(m[2]) !== bullet && !rule.test(line)) {
      if (gap && items.length) loose = true;
      width = m[1].length + m[2].length + (m[3].length > 4 || !m[3] ? 1 : m[3].length);
      items.push([line.slice(width)]);
    } else if (items.length && !gap && !interrupts(src, at, line) && !m) items.at(-1).push(line); // goes on without an indent
    else break;
    gap = false;
    at = after(at, line);
  }
  return { type: 'list', bullet, from: bullet ? 1 : parseInt(first[2], 10), loose, items: items.map(lines => lines.join('\n')), end: at };
}

/** The cells of a row; a bar behind a backslash or in a code span is none. */
function cells(line) {
  const out = [];
  let cell = '', code = false;
  const t = line.trim().replace(/^\|/, '');
  for (let i = 0; i < t.length; i++) {
    if (t[i] === '\\' && t[i + 1] === '|') { cell += '|'; i++; continue; }
    if (t[i] === '`') code = !code && t.indexOf('`', i + 1) > 0;
    if (t[i] === '|' && !code) { out.push(cell.trim()); cell = ''; } else cell += t[i];
  }
  if (cell.trim()) out.push(cell.trim());
  return out;
}

function readTable(src, start) {
  const head = lineAt(src, start), rows = [];
  let at = after(start, head);
  const sides = cells(lineAt(src, at)).map(c => (c.endsWith(':') ? (c.startsWith(':') ? 'middle' : 'end') : ''));
  at = after(at, lineAt(src, at));
  for (let line; at < src.length && (line = lineAt(src, at)).includes('|') && !blank(line); at = after(at, line)) rows.push(cells(line));
  return { type: 'table', head: cells(head), sides, rows, end: at };
}

function readParagraph(src, start) {
  let at = after(start, lineAt(src, start));
  for (let line; at < src.length && !blank(line = lineAt(src, at)) && !interrupts(src, at, line);) at = after(at, line);
  return { type: 'p', text: src.slice(start, at).trim(), end: at };
}

/** The block at `at`, or null where only white space is left. It depends on nothing in front of `at`. */
function blockAt(src, at) {
  let line;
  for (;; at = after(at, line)) {
    if (at >= src.length) return null;
    if (!blank(line = lineAt(src, at))) break;
  }
  let m, block;
  if ((m = fence.exec(line))) block = readCode(src, at, m);
  else if ((m = heading.exec(line))) block = { type: 'h', level: m[1].length, text: closeHeading(m[2] ?? ''), end: after(at, line) };
  else if (rule.test(line)) block = { type: 'rule', end: after(at, line) };
  else if (quote.test(line)) block = readQuote(src, at);
  else if (item.test(line)) block = readList(src, at);
  else if (isTable(src, at, line)) block = readTable(src, at);
  else block = readParagraph(src, at);
  return Object.assign(block, { start: at, end: Math.min(block.end, src.length) });
}
function closeHeading(t) { // "# like this #"
  t = t.trim();
  let n = t.length;
  while (n > 0 && t[n - 1] === '#') n--;
  return n === 0 || t[n - 1] === ' ' ? t.slice(0, n).trim() : t;
}
function blocks(src, at = 0) {
  const out = [];
  for (let b; (b = blockAt(src, at)); at = b.end) out.push(b);
  return out;
}

/* ---- inside a line -------------------------------------------------------------------------------------------------------- */

/** The address as written, if it may be followed: http or https, without a user's name in front of the host. */
function address(text) {
  let u;
  try { u = new URL(text); } catch { return null; }
  return /^https?:\/\//i.test(text) && /^https?:$/.test(u.protocol) && !u.username && !u.password ? u.href : null;
}
const anchor = (href, ...kids) => h('a', { href, target: '_blank', rel: 'noopener noreferrer', title: href }, ...kids);

const special = /[\\`*_~[\nh]/g;
const word = c => c !== undefined && /[\p{L}\p{N}]/u.test(c);
const space = c => c === undefined || /\s/.test(c);

/** Where the emphasis that `mark` opens at i is closed, or -1. */
function closing(s, i, mark, none) {
  if (none[mark] || space(s[i + mark.length])) return -1;
  for (let j = s.indexOf(mark, i + mark.length + 1); j >= 0; j = s.indexOf(mark, j + 1)) {
    if (mark.length === 1 && s[j + 1] === mark) { j++; continue; } // a double one
    if (mark.length === 2 && s[j + 2] === mark[0]) continue;       // *** : the later two
    if (!space(s[j - 1]) && !(mark[0] === '_' && word(s[j + mark.length]))) return j;
  }
  none[mark] = true; // none for any later one either
  return -1;
}

/** [label](address) at i: {label, href, end}, or null. The look-ahead is bounded. */
function link(s, i, none) {
  if (none['](']) return null;
  const j = s.indexOf('](', i);
  if (j < 0) { none[']('] = true; return null; }
  if (j - i > 500) return null;
  let depth = 1, k = j + 2;
  for (const last = Math.min(s.length, k + 2000); k < last && depth > 0 && s[k] !== '\n'; k++) depth += s[k] === '(' ? 1 : s[k] === ')' ? -1 : 0;
  if (depth > 0) return null;
  const href = address(s.slice(j + 2, k - 1).trim().replace(/\s+"[^"]*"$/, ''));
  return href && { label: s.slice(i + 1, j), href, end: k };
}

const tags = { '**': 'strong', '__': 'strong', '*': 'em', '_': 'em', '~~': 's' };
function inline(s, into, depth = 0, linked = false) {
  const none = {};
  let from = 0, at = 0;
  const flush = to => { if (to > from) into.append(s.slice(from, to)); };
  const put = (node, i, end) => { flush(i); into.append(node); from = at = end; };
  for (;;) {
    special.lastIndex = at;
    const m = special.exec(s);
    if (!m) break;
    const i = m.index, c = m[0];
    at = i + 1;
    if (c === '\n') put(h('br'), i, i + 1);
    else if (c === '\\') {
      if (s[i + 1] && /[!-/:-@[-`{-~]/.test(s[i + 1])) { flush(i); from = i + 1; at = i + 2; }
    } else if (c === '`') {
      let n = 1;
      while (s[i + n] === '`') n++;
      const mark = '`'.repeat(n), j = none[mark] ? -1 : s.indexOf(mark, i + n);
      if (j < 0) { none[mark] = true; at = i + n; } else put(h('code', {}, s.slice(i + n, j).replace(/^ (.+) $/s, '$1')), i, j + n);
    } else if (c === '[') {
      const l = linked ? null : link(s, i, none);
      if (!l) continue;
      const a = anchor(l.href);
      if (depth < DEPTH) inline(l.label, a, depth + 1, true); else a.append(l.label);
      put(a, i, l.end);
    } else if (c === 'h') {
      if (linked || word(s[i - 1]) || !s.startsWith('http', i)) continue;
      const found = /^https?:\/\/[^\s<>"'`|\\^{}[\]]+/.exec(s.slice(i, i + 2000));
      if (!found) continue;
      let t = found[0].replace(/[.,;:!?*_~]+$/, '');
      if (t.endsWith(')') && !t.includes('(')) t = t.slice(0, -1);
      const href = address(t);
      if (href) put(anchor(href, t), i, i + t.length);
    } else { // emphasis
      let mark = s[i + 1] === c ? c + c : c;
      if (mark === '~') continue;
      if (c === '_' && word(s[i - 1])) { at = i + mark.length; continue; }
      let j = depth < DEPTH ? closing(s, i, mark, none) : -1;
      if (j < 0) { at = i + mark.length; continue; }
      const el = h(tags[mark]);
      inline(s.slice(i + mark.length, j), el, depth + 1, linked);
      put(el, i, j + mark.length);
    }
  }
  flush(s.length);
  return into;
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------------- */

function codeNode(b) {
  const code = h('code', {}, document.createTextNode(b.body));
  const button = iconButton('copy', 'Copy this code', () => copy(code.textContent, button));
  return h('div', { class: 'code' }, h('div', { class: 'code-bar' }, h('span', {}, b.lang || 'text'), button),
    h('pre', { tabindex: '0', role: 'region', 'aria-label': b.lang ? `Code, ${b.lang}` : 'Code' }, code));
}
function tableNode(b) {
  const cell = (tag, text, i) => inline(text ?? '', h(tag, { class: b.sides[i] || null, scope: tag === 'th' ? 'col' : null }));
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Table' }, h('table', {},
    h('thead', {}, h('tr', {}, b.head.map((c, i) => cell('th', c, i)))),
    h('tbody', {}, b.rows.map(r => h('tr', {}, b.head.map((_, i) => cell('td', r[i], i)))))));
}
function listNode(b, depth) {
  const items = b.items.map(src => {
    const li = h('li'), inner = depth < DEPTH ? blocks(src) : [{ type: 'p', text: src }];
    for (const x of inner) if (x.type === 'p' && !b.loose) inline(x.text, li); else li.append(node(x, depth + 1));
    return li;
  });
  return b.bullet ? h('ul', {}, items) : h('ol', { start: b.from === 1 ? null : b.from }, items);
}
function node(b, depth = 0) {
  switch (b.type) {
    case 'code': return codeNode(b);
    case 'h': return inline(b.text, h(`h${Math.min(6, b.level + 2)}`));
    case 'rule': return h('hr');
    case 'quote': return h('blockquote', {}, depth < DEPTH ? blocks(b.inner).map(x => node(x, depth + 1)) : b.inner);
    case 'list': return listNode(b, depth);
    case 'table': return tableNode(b);
    default: return inline(b.text, h('p'));
  }
}

/** Text that grows, shown in `root`. Blocks are built when they have ended; of the last ones only what has changed is built anew. */
export class Markdown {
  constructor(root, asCode = false) {
    Object.assign(this, { root, text: asCode ? '```json\n' : '', done: 0, tail: [] });
  }

  push(more) { this.text += more; }

  /** Bring `root` up to date. The same nodes come out however the text was cut into pieces. */
  draw() {
    const fresh = blocks(this.text, this.done), old = this.tail;
    let same = 0;
    for (; same < old.length && same < fresh.length; same++) {
      const a = old[same], b = fresh[same];
      if (a.type !== b.type) break;
      const src = this.text.slice(b.start, b.end);
      if (a.src === src) { fresh[same] = a; continue; }
      if (a.type !== 'code' || a.lang !== b.lang) break;
      const t = a.node.querySelector('code').firstChild; // a long block of code grows in place
      if (b.body.startsWith(a.body)) t.appendData(b.body.slice(a.body.length)); else t.data = b.body;
      Object.assign(fresh[same], { src, node: a.node });
    }
    for (const gone of old.slice(same)) gone.node.remove();
    for (const b of fresh.slice(same)) {
      Object.assign(b, { src: this.text.slice(b.start, b.end), node: node(b) });
      this.root.append(b.node);
    }
    // a block cannot change any more once the first two lines of a later one stand: a table is known by its second line
    let keep = fresh.length - 1;
    while (keep > 0 && this.text.indexOf('\n', this.text.indexOf('\n', fresh[keep].start) + 1 || this.text.length) < 0) keep--;
    this.tail = fresh.slice(Math.max(keep, 0));
    if (this.tail.length) this.done = this.tail[0].start;
  }
}

/** All of a text at once, into `root`. */
export function markdown(text, root, asCode = false) {
  const m = new Markdown(root, asCode);
  m.push(text);
  m.draw();
  return root;
}
