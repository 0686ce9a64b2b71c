#!/usr/bin/env node
/* mutants.mjs - that the cases notice: pages with one fault each, and the case that has to fail of it (fake server).
 *
 *   node tests/server/page/mutants.mjs [REGEX of the faults to try] */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url)), source = process.env.TESSERA_SOURCE ?? path.resolve(here, '../../..');
const mutants = [ // file, what stands there, what stands there instead, the case
  ['markdown.js', 'u.href : null;', 'u.href : text;', 'hostile.text'],
  ['markdown.js', "&& !u.username", '', 'hostile.text'],
  ['markdown.js', 'while (keep > 0 && this.text', 'while (false && this.text', 'markdown.pieces'],
  ['markdown.js', "  none[mark] = true; // none", '  // none', 'markdown.time'],
  ['markdown.js', "if (c === '_' && word(s[i - 1]))", "if (false)", 'markdown.meaning'],
  ['ui.js', "  el.append(...kids.flat", "  if (kids.length === 1 && typeof kids[0] === 'string') { el.innerHTML = kids[0]; return el; }\n  el.append(...kids.flat", 'hostile.text'],
  ['chat.js', "h('div', { class: 'said' }, m.text)", "Object.assign(h('div', { class: 'said' }), { innerHTML: m.text })", 'hostile.server'],
  ['chat.js', 'api.chat(body, { signal: job.abort.signal })', 'api.chat(body, {})', 'chat.stop'],
  ['chat.js', "a.text += d.content;", "a.text += d.content.replace('sea', 'see').replace('land', 'lend');", 'chat.same-text'],
  ['chat.js', 'if (m.role === out.at(-1)?.role)', 'if (false)', 'chat.unanswered'],
  ['chat.js', "following = away() < 60;", 'following = true;', 'chat.scroll'],
  ['chat.js', "if (words) say(words);", "if (words) { say(words); say(words); }", 'use.said'],
  ['chat.js', 'a.seen.pieces++;', 'a.seen.pieces++; for (const t = performance.now(); a.seen.pieces % 4 === 0 && performance.now() < t + 40;) ;', 'chat.frames'],
  ['chat.js', '[[i, m]]).catch(() => {}); }\n  }, 500);', '[]).catch(() => {}); }\n  }, 500);', 'chat.kept-midway'],
  ['chat.js', 'settings.refused(e)', 'false', 'chat.schema-wrong'],
  ['chat.js', 'first = Math.max(0, messages.length - WINDOW);', 'first = 0;', 'use.many'],
  ['store.js', "for (const [i, message] of changed) store.put({ ...message, conv: conversation.id, i });", '', 'chat.reload'],
  ['store.js', 'if (end !== null) store.delete(', 'if (false) store.delete(', 'chat.edit'],
  ['store.js', 'for (const v of m.variants) text(v?.text, `${where}: text`);', '', 'chat.export'],
  ['api.js', "const used = base === '' ? key : null", 'const used = key', 'compare.differ'],
  ['api.js', "if (base === '') hooks.offline();", 'hooks.offline();', 'compare.differ'],
  ['api.js', "if (base === '') hooks.offline();", '', 'server.gone'],
  ['api.js', "sessionStorage.setItem('tessera.key', k)", "localStorage.setItem('tessera.key', k)", 'server.key'],
  ['compare.js', "if (part.order.value === 'after') await first;", '', 'compare.turns'],
  ['compare.js', 'x[i] === y[i]) i++;', 'x[i] === y[i]) i += 2;', 'compare.differ'],
  ['compare.js', 'if (mine === theirs && a.end === b.end)', 'if (true)', 'compare.differ'],
  ['figures.js', "h('dt', {}, `${f.label} `, mark(f.by, f.title)),", "h('dt', {}, f.label),", 'figures.marks'],
  ['figures.js', 's.joules / n,', 's.joules / (n + 1),', 'figures.marks'],
  ['figures.js', "const by = marks[s.evidence] && s.evidence !== 'derived' ? s.evidence : 'measured';", "const by = 'measured';", 'figures.power'],
  ['ledger.js', "row.times === 'derived'", 'false', 'figures.shared'],
  ['ledger.js', "if (differ) return", 'if (false) return', 'figures.wrong'],
  ['ledger.js', '!sumsEqual(r))) return', 'false)) return', 'figures.wrong'],
  ['server.js', "value: sample[3],", 'value: String(Number(sample[3]) + 1),', 'figures.metrics'],
  ['style.css', '.strip { display: flex; flex-wrap: wrap;', '.strip { min-width: 30rem; flex-wrap: wrap;', 'use.narrow'],
  ['style.css', '--quiet: light-dark(#5b605f', '--quiet: light-dark(#9b9f9f', 'use.axe'],
  ['style.css', ':focus-visible { outline: 2px solid var(--accent);', ':focus-visible { outline: none;', 'use.keyboard'],
  ['index.html', 'aria-label="Attach text files"', '', 'use.axe'],
  ['app.js', "  if (document.querySelector('dialog[open]')) return;", '  return;', 'use.keyboard'],
  ['theme.js', "document.documentElement.dataset.theme = theme;", ';', 'use.theme'],
];

const wanted = new RegExp(process.argv[2] ?? '.'), folder = await mkdtemp(path.join(os.tmpdir(), 'tessera-page-'));
let noticed = 0, missed = 0;
for (const [file, was, is, id] of mutants) {
  if (!wanted.test(`${file} ${id}`)) continue;
  const place = path.join(folder, 'src/server/page');
  await cp(path.join(source, 'src/server/page'), place, { recursive: true });
  const text = await readFile(path.join(place, file), 'utf8');
  if (text.split(was).length !== 2) throw new Error(`${file} has this ${text.split(was).length - 1} times: ${was}`);
  await writeFile(path.join(place, file), text.replace(was, () => is));
  const r = spawnSync('node', [path.join(here, 'run.mjs'), '--timeout', '60', '--only', `^${id}$`], { env: { ...process.env, TESSERA_SOURCE: folder }, encoding: 'utf8' });
  const ok = r.stdout.includes(`FAIL ${id}`);
  ok ? noticed++ : missed++;
  console.log(`${ok ? 'noticed' : 'MISSED '} ${file}: ${is.trim().split('\n')[0].slice(0, 60) || `without ${was.slice(0, 40)}`}  ${r.stdout.split('\n')[0].slice(0, 130)}`);
}
await rm(folder, { recursive: true });
console.log(`${noticed} faults noticed, ${missed} missed`);
process.exit(missed ? 1 : 0);
