/* 30-use.mjs - who uses it: by keyboard, with a screen reader, on a small screen, from a strange page; any server. */
import http from 'node:http';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { ask, ended, kept, running, send, set, check, same, skip, until } from '../kit.mjs';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/* Headings in an answer have the order that the model gave them. */
async function accessible(page, where) {
  const found = await page.evaluate(async source => {
    if (!window.axe) await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
    const r = await window.axe.run(document, { resultTypes: ['violations'] });
    return r.violations.filter(v => ['serious', 'critical', 'moderate'].includes(v.impact) && v.id !== 'heading-order').map(v => `${v.impact} ${v.id}: ${v.nodes.map(n => `${n.target} ${n.failureSummary.split('\n')[1] ?? ''}`).slice(0, 2).join(' | ')}`);
  }, axe);
  check(!found.length, `${where}: ${found.join('; ')}`);
}
const noSideways = async (page, where) => {
  const wide = await page.evaluate(() => [...document.querySelectorAll('html, body, main, .view:not([hidden]), .log, .page, .side:not([hidden]), .settings:not([hidden])')].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => `${e.tagName}.${e.className} ${e.scrollWidth}>${e.clientWidth}`));
  check(!wide.length, `${where}: wider than the screen: ${wide.join(', ')}`);
};

export default [
  { id: 'use.headers', what: 'every file of the page has its type, a strict CSP, a tag that answers 304; nothing else is served by path', async run(k) {
    const html = await (await fetch(`${k.base}/`, { headers: { Accept: 'text/html' } })).text();
    const paths = ['/', ...[...html.matchAll(/(?:href|src)="(page\/[^"]+)"/g)].map(m => `/${m[1]}`)];
    for (const todo = [...paths]; todo.length;) { // and what the modules import
      const p = todo.pop();
      if (!p.endsWith('.js')) continue;
      for (const m of (await (await fetch(k.base + p)).text()).matchAll(/from '\.\/([\w-]+\.js)'/g)) if (!paths.includes(`/page/${m[1]}`)) { paths.push(`/page/${m[1]}`); todo.push(`/page/${m[1]}`); }
    }
    check(paths.length > 12, `only ${paths.length} files`);
    for (const p of paths) {
      const r = await fetch(k.base + p, { headers: { Accept: 'text/html' } }), csp = r.headers.get('content-security-policy') ?? '';
      same(r.status, 200, p);
      const type = p === '/' ? 'text/html' : { js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' }[p.split('.').pop()];
      check(r.headers.get('content-type').startsWith(type), `${p}: ${r.headers.get('content-type')}`);
      for (const part of ["default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "object-src 'none'"]) check(csp.includes(part), `${p}: CSP without ${part}`);
      check(!/unsafe|\*/.test(csp), `${p}: ${csp}`);
      same(r.headers.get('x-content-type-options'), 'nosniff', p);
      check(r.headers.get('etag') && r.headers.get('referrer-policy'), `${p}: no ETag or Referrer-Policy`);
      const again = await fetch(k.base + p, { headers: { Accept: 'text/html', 'If-None-Match': r.headers.get('etag') } });
      same(again.status, 304, `${p} with its tag`);
    }
    for (const p of ['/page/../page.c', '/page/%2e%2e/page.c', '/page/', '/page/nothing.js']) same((await fetch(k.base + p)).status, 404, p);
  } },
  { id: 'use.foreign', what: 'a page of another origin can neither read nor send, and cannot frame this one', async run(k) {
    const other = http.createServer((q, r) => { r.writeHead(200, { 'Content-Type': 'text/html' }); r.end('<!doctype html><title>foreign</title>'); });
    await new Promise(go => other.listen(0, '127.0.0.1', go));
    try {
      const page = await k.open({ base: `http://127.0.0.1:${other.address().port}`, ready: false, expect: { foreign: true } });
      const before = await k.api('slots');
      const got = await page.evaluate(async ([base, model]) => {
        const body = JSON.stringify({ model, max_tokens: 2000, messages: [{ role: 'user', content: 'Write for ever.' }] }), out = [];
        for (const [path, init] of [['v1/models', {}], ['v1/chat/completions', { method: 'POST', body, headers: { 'Content-Type': 'application/json' } }], ['v1/chat/completions', { method: 'POST', body }], ['metrics', { mode: 'cors', credentials: 'include' }]])
          try { out.push(`${path} ${(await (await fetch(`${base}/${path}`, init)).text()).slice(0, 40)}`); } catch { /* as it should be */ }
        const frame = document.createElement('iframe');
        frame.src = `${base}/`;
        document.body.append(frame);
        await new Promise(go => setTimeout(go, 500));
        try { if (frame.contentDocument?.title) out.push('framed'); } catch { /* another origin's */ }
        return [out, await fetch(`${base}/v1/chat/completions`, { method: 'POST', body, mode: 'no-cors' }).then(r => r.type, () => 'failed')];
      }, [k.base, k.model]);
      same(got[0].join(), '', 'what the foreign page has read');
      same((await k.api('slots')).filter(s => s.is_processing).length, before.filter(s => s.is_processing).length, 'slots that work for it');
      const frames = page.frames().filter(f => f.url().startsWith(k.base));
      for (const f of frames) check(!(await f.title()), 'the page was framed');
    } finally { other.close(); other.closeAllConnections?.(); }
  } },
  { id: 'use.keyboard', what: 'everything by keyboard: ask, stop, new chat, settings, views, help, delete', async run(k) {
    const page = await k.open(), focus = () => page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.slice(0, 30));
    same(await focus(), 'text', 'focus at first');
    await page.keyboard.type('One line');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.type('another');
    same(await page.inputValue('#text'), 'One line\nanother', 'text');
    await page.keyboard.press('Enter');
    await page.locator('.answer').waitFor();
    await page.keyboard.press('Escape');
    await ended(page);
    await page.locator('.answer:not(.running)').waitFor();
    same((await kept(page))[0].text, 'One line\nanother', 'sent');
    await page.keyboard.press('Control+Shift+O');
    same(await page.locator('.msg').count(), 0, 'a new chat');
    same(await focus(), 'text', 'focus in a new chat');
    await page.keyboard.press('Alt+3');
    same(await focus(), 'tab-server', 'focus on the view');
    await page.keyboard.press('ArrowLeft');
    same(await focus(), 'tab-compare', 'by arrow');
    await page.keyboard.press('Home');
    same(await focus(), 'tab-chat', 'by Home');
    await page.keyboard.press('?');
    await page.locator('#help-dialog[open]').waitFor();
    await page.keyboard.press('Escape');
    await page.locator('#help-dialog[open]').waitFor({ state: 'detached' });
    await page.keyboard.press('/');
    same(await focus(), 'text', 'focus by /');
    same(await page.inputValue('#text'), '', 'the / itself');
    const reached = new Set(); // Tab comes to everything that can be used, and is seen there
    for (let i = 0; i < 60; i++) {
      await page.keyboard.press('Tab');
      const [name, seen, body] = await page.evaluate(() => { const e = document.activeElement, s = getComputedStyle(e), b = e.closest('.box') ?? e; return [e.id || e.textContent || e.getAttribute('aria-label'), s.outlineStyle !== 'none' || getComputedStyle(b).boxShadow !== 'none', e === document.body]; });
      if (body) continue;
      check(seen, `the focus is not seen on ${name}`);
      reached.add(name);
    }
    for (const name of ['side-toggle', 'tab-chat', 'theme', 'help', 'settings-toggle', 'fresh', 'export', 'import', 'log', 'text', 'attach', 'model', 'send']) check(reached.has(name), `Tab does not come to ${name}: ${[...reached].join(', ')}`);
    await page.focus('#settings-toggle');
    await page.keyboard.press('Enter');
    same(await focus(), 'Close the settings', 'focus goes into the settings');
    await page.keyboard.press('Enter');
    same(await focus(), 'settings-toggle', 'and back');
    await page.getByRole('button', { name: /^Delete/ }).focus();
    await page.keyboard.press('Enter');
    await page.getByText('is deleted').waitFor();
  } },
  { id: 'use.said', what: 'a screen reader hears whole sentences, each once; the growing text itself is silent', async run(k) {
    const page = await k.open();
    await page.evaluate(() => {
      window.heard = [];
      new MutationObserver(all => { for (const m of all) for (const n of m.addedNodes) window.heard.push(n.textContent); }).observe(document.getElementById('say'), { childList: true });
    });
    await set(page, { temperature: 0, max_tokens: 90 });
    await ask(page, 'Tell me a short story about a lighthouse.');
    same(await page.getAttribute('#log', 'role'), 'log', 'role');
    same(await page.getAttribute('#log', 'aria-live'), 'off', 'the log itself');
    const heard = await page.evaluate(() => window.heard), words = t => t.replace(/[^\p{L}\p{N}]+/gu, ' ').trim();
    const { text } = (await kept(page))[1].variants[0];
    check(heard.length > 0, 'nothing was said');
    const prose = words(text.replace(/```[\s\S]*?(```|$)/g, ' Code ')), all = words(heard.join(' ').replace('The answer has reached its limit of tokens.', ''));
    same(all, prose, 'what was said');
  } },
  { id: 'use.axe', what: 'axe finds nothing moderate or worse: three views, both themes, two widths, with an answer, panels and dialog open', async run(k) {
    for (const colorScheme of ['light', 'dark']) for (const width of [1280, 360]) {
      const page = await k.open({ width, colorScheme, bypassCSP: true, reducedMotion: 'reduce' }), where = `${colorScheme} ${width}`;
      await accessible(page, `${where} welcome`);
      await set(page, { temperature: 0, max_tokens: 160 });
      await ask(page, 'Tell me a short story about a lighthouse.');
      if (await page.getByText('Where it ran').count()) {
        await page.getByText('Where it ran').click();
        await page.locator('.ledger').waitFor();
        await page.getByText('All of it, as a table').click();
      }
      await accessible(page, `${where} answer`);
      await page.click('#settings-toggle');
      await set(page, { format: 'json_schema', schema: '{' });
      await accessible(page, `${where} settings`);
      await page.keyboard.press('Escape');
      if (width === 360) { await page.click('#side-toggle'); await accessible(page, `${where} list`); await page.keyboard.press('Escape'); }
      await page.keyboard.press('?');
      if (await page.locator('#help-dialog[open]').count()) { await accessible(page, `${where} help`); await page.keyboard.press('Escape'); }
      await page.keyboard.press('Alt+2');
      await page.fill('#cmp-max_tokens', '8');
      await page.click('#cmp-run');
      await page.locator('#cmp-table table').waitFor({ timeout: 60000 });
      await accessible(page, `${where} compare`);
      await page.keyboard.press('Alt+3');
      await page.locator('#srv-metrics td').first().waitFor();
      await accessible(page, `${where} server`);
      await page.context().close();
    }
  } },
  { id: 'use.narrow', what: 'at 360 px nothing is wider than the screen, in any view, with panels open', async run(k) {
    const page = await k.open({ width: 360, height: 640 });
    await noSideways(page, 'welcome');
    await set(page, { temperature: 0, max_tokens: 160 });
    await ask(page, `Tell me a short story about a lighthouse. ${'wide'.repeat(40)}`);
    await noSideways(page, 'answer');
    if (await page.getByText('Where it ran').count()) { await page.getByText('Where it ran').click(); await page.locator('.ledger').waitFor(); await page.getByText('All of it, as a table').click(); }
    await noSideways(page, 'where it ran');
    for (const panel of ['side', 'settings']) {
      await page.click(`#${panel}-toggle`);
      await noSideways(page, panel);
      await page.keyboard.press('Escape');
      check(await page.locator(`#${panel}`).isHidden(), `${panel} is closed by Esc`);
    }
    await page.keyboard.press('Alt+2');
    await page.fill('#cmp-max_tokens', '8');
    await page.click('#cmp-run');
    await page.locator('#cmp-table table').waitFor({ timeout: 60000 });
    await noSideways(page, 'compare');
    await page.keyboard.press('Alt+3');
    await page.locator('#srv-metrics td').first().waitFor();
    await noSideways(page, 'server');
  } },
  { id: 'use.theme', what: 'colours: as the system has them, light, dark; kept over a reload, without a flash', async run(k) {
    const page = await k.open({ colorScheme: 'dark' }), bg = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const dark = await bg();
    await page.click('#theme');
    const light = await bg();
    check(dark !== light, `both ${dark}`);
    await page.reload({ waitUntil: 'commit' });
    await page.waitForSelector('body');
    same(await page.evaluate(() => document.documentElement.dataset.theme), 'light', 'before the modules run');
    await page.waitForSelector('body[data-ready]');
    same(await bg(), light, 'after a reload');
    await page.click('#theme');
    same(await bg(), dark, 'dark');
    await page.click('#theme');
    same(await page.evaluate(() => document.documentElement.dataset.theme ?? 'auto'), 'auto', 'as the system');
  } },
  { id: 'use.many', what: 'a conversation of 10,000 messages opens, scrolls, and takes another question', async run(k) {
    const page = await k.open();
    await page.evaluate(async () => {
      const store = await import('/page/store.js'), all = [];
      for (let i = 0; i < 10000; i++)
        all.push([i, i % 2 ? { role: 'assistant', pick: 0, variants: [{ text: `Answer **${i}** with \`code\`, and\n\n- a list\n- of two`, end: 'stop', model: 'm', usage: { prompt_tokens: i, completion_tokens: 9 } }] } : { role: 'user', text: `Question ${i}`, files: [] }]);
      await store.save({ id: 'many', title: 'Ten thousand', created: 1, updated: Date.now(), settings: { max_tokens: 4 } }, all);
      sessionStorage.setItem('tessera.conversation', 'many');
    });
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    await page.getByText('Answer 9999').waitFor();
    const t = Date.now();
    await page.getByRole('button', { name: 'New chat' }).click();
    await page.getByRole('button', { name: 'Ten thousand', exact: true }).click();
    await page.getByText('Answer 9999').waitFor();
    const open = Date.now() - t;
    check(await page.locator('.msg').count() < 200, 'all messages are nodes at once');
    for (let n = 0; n < 20; n++) { // up, as far as a patient reader goes
      await page.evaluate(() => { document.getElementById('log').scrollTop = 1; });
      await page.waitForTimeout(30);
    }
    const up = await page.locator('.msg').count();
    check(up > 200, `only ${up} messages after scrolling up`);
    const keys = Date.now();
    await page.locator('#text').pressSequentially('Still quick?');
    const typing = (Date.now() - keys) / 12;
    await page.keyboard.press('Enter');
    await until(async () => (await kept(page)).length === 10002, 'the question is kept');
    await ended(page);
    k.note(`opened in ${open} ms, ${up} messages shown, ${typing.toFixed(1)} ms a key`);
    check(open < 5000 && typing < 250, `slow: opened in ${open} ms, ${typing} ms a key`);
  } },
];
