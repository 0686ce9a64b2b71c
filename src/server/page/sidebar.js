/* sidebar.js - the list of conversations: open, rename, delete, search by title, export, import. */
import * as store from './store.js';
import { $, h, button, iconButton, icon, toast, plural } from './ui.js';

const PAGE = 100;
let act, items = [], current = null, running = null, shown = PAGE, query, box, more;

/** act: {open(id), fresh(), renamed(conversation), removed(id), close()}. */
export function init(actions) {
  act = actions;
  query = h('input', { type: 'search', placeholder: 'Search titles', 'aria-label': 'Search titles', oninput: () => { shown = PAGE; draw(); } });
  box = h('ul', { class: 'convs' });
  more = h('button', { type: 'button', class: 'wide', onclick: () => { shown += PAGE; draw(); } }, 'Show more');
  const file = h('input', { type: 'file', accept: '.json,application/json', hidden: true, 'aria-label': 'File to import', id: 'import-file',
    onchange: () => take(file) });
  $('side').replaceChildren(
    h('div', { class: 'panel-head' }, button([icon('plus'), 'New chat'], () => act.fresh(), { class: 'fresh', id: 'fresh' }),
      iconButton('close', 'Close the list', () => act.close(), { class: 'icon only-narrow' })),
    query, h('nav', { class: 'convs-nav', 'aria-label': 'Conversations' }, box, more),
    h('p', { class: 'row foot' }, button('Export', give, { id: 'export' }), button('Import', () => file.click(), { id: 'import' }), file));
}

async function give() {
  const href = URL.createObjectURL(await store.exported()), day = new Date().toISOString().slice(0, 10);
  const link = h('a', { href, download: `tessera-conversations-${day}.json` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60e3);
}
async function take(input) {
  const file = input.files[0];
  input.value = '';
  if (!file) return;
  try {
    toast(`${plural(await store.importFrom(await file.text()), 'conversation')} taken in`);
    await refresh();
  } catch (e) { toast(e.message); }
}

export async function refresh() {
  items = await store.list();
  draw();
}
/** A conversation that was saved: to the top. */
export function touched(conversation) {
  items = [conversation, ...items.filter(c => c.id !== conversation.id)];
  draw();
}
export function mark(id, busy) {
  current = id;
  running = busy;
  draw();
}

function rename(c, li) {
  const input = h('input', { value: c.title, 'aria-label': 'Title', maxlength: '200' });
  let over = false;
  const end = async keep => {
    if (over) return;
    over = true;
    if (keep && input.value.trim()) {
      c.title = input.value.trim();
      await store.save(c);
      act.renamed(c);
    }
    draw();
    box.querySelector(`[data-id="${CSS.escape(c.id)}"]`)?.focus();
  };
  input.addEventListener('keydown', e => {
    e.stopPropagation();
    if (e.key === 'Enter') end(true);
    if (e.key === 'Escape') end(false);
  });
  input.addEventListener('blur', () => end(true));
  li.replaceChildren(input);
  input.focus();
  input.select();
}

async function remove(c) {
  const messages = await store.messages(c.id);
  await store.remove(c.id);
  items = items.filter(x => x !== c);
  act.removed(c.id);
  draw();
  toast(`“${c.title}” is deleted.`, 'Undo', async () => {
    await store.save(c, messages.map((m, i) => [i, m]));
    await refresh();
  });
}

function draw() {
  const q = query.value.trim().toLowerCase(), found = q ? items.filter(c => c.title.toLowerCase().includes(q)) : items;
  box.replaceChildren(...found.slice(0, shown).map(c => {
    const li = h('li', { class: c.id === current ? 'now' : null },
      button([c.id === running ? h('span', { class: 'dot' }) : '', c.title], () => act.open(c.id),
        { class: 'conv', 'data-id': c.id, 'aria-current': c.id === current ? 'page' : null, title: c.title }),
      iconButton('edit', `Rename “${c.title}”`, () => rename(c, li)), iconButton('bin', `Delete “${c.title}”`, () => remove(c)));
    return li;
  }));
  if (!found.length) box.append(h('li', { class: 'quiet' }, q ? 'No title has this in it.' : 'No conversations yet. They stay in this browser.'));
  more.hidden = found.length <= shown;
}
