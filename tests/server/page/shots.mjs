#!/usr/bin/env node
/* shots.mjs - pictures of the page for docs/img: two widths, two themes.
 *
 *   node tests/server/page/shots.mjs [--base URL] [--out docs/img]      without --base: the fake server's answers */
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { mkdir, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { startFake } from './fake.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
const { values: o } = parseArgs({ options: { base: { type: 'string' }, out: { type: 'string', default: path.join(root, 'docs/img') }, chromium: { type: 'string', default: '/usr/bin/chromium' } } });
await mkdir(o.out, { recursive: true });
const fake = o.base ? null : await startFake();
const base = (o.base ?? fake.base).replace(/\/$/, '');
const browser = await chromium.launch({ executablePath: o.chromium, args: ['--no-sandbox'] });

const quant = spawnSync('pngquant', ['--version']).status === 0; // a third of the size, where there is one
for (const width of [1280, 360])
  for (const theme of ['light', 'dark']) {
    const context = await browser.newContext({ viewport: { width, height: width === 360 ? 760 : 860 }, colorScheme: theme, reducedMotion: 'reduce' }), page = await context.newPage();
    const shot = async name => {
      const file = path.join(o.out, `page-${name}-${width}-${theme}.png`);
      await page.screenshot({ path: file });
      if (quant) spawnSync('pngquant', ['--force', '--skip-if-larger', '--strip', '--output', file, '64', file]);
      const { size } = await stat(file);
      console.log(`${path.relative(process.cwd(), file)} ${Math.round(size / 1000)} kB${size > 150e3 ? '  TOO LARGE' : ''}`);
    };
    const say = async text => {
      const n = await page.locator('.msg').count();
      await page.fill('#text', text);
      await page.press('#text', 'Enter');
      await page.waitForFunction(m => document.querySelectorAll('.msg').length > m + 1 && !document.querySelector('.running'), n, { timeout: 120e3 });
    };
    await page.goto(`${base}/`);
    await page.waitForSelector('body[data-ready]');
    await page.waitForSelector('#model option', { state: 'attached' });
    const models = await page.locator('#model option').allTextContents();
    const setting = async (name, value) => page.evaluate(([n, v]) => { const e = document.getElementById(n); e.value = v; e.dispatchEvent(new Event('input')); }, [name, value]);
    await setting('set-temperature', '0');
    await say('Hello! Who are you?');
    await say('Tell me a short story about a lighthouse.');
    await page.evaluate(() => { const l = document.getElementById('log'); l.scrollTop = 0; });
    await shot('chat');
    if (width <= 820) await page.click('#side-toggle');
    await page.click('#fresh');
    await page.selectOption('#model', models[models.length > 1 ? 1 : 0]);
    await setting('set-max_tokens', '48');
    await say('Tell me a short story about a lighthouse.');
    await page.locator('.where summary').last().click();
    await page.waitForSelector('.ledger');
    await page.evaluate(() => { document.getElementById('log').scrollTop = 1e6; });
    await shot('where');
    await page.keyboard.press('Alt+2');
    await page.waitForFunction(() => document.querySelectorAll('#cmp-a option').length > 0);
    await page.fill('#cmp-prompt', 'Tell me a short story about a lighthouse.');
    await page.fill('#cmp-max_tokens', '48');
    await page.click('#cmp-run');
    await page.waitForSelector('#cmp-table table', { timeout: 120e3 });
    await page.evaluate(w => { document.getElementById('view-compare').scrollTop = w === 360 ? document.getElementById('headline').offsetTop - 70 : 1e6; }, width);
    await shot('compare');
    const other = await context.newPage(); // somebody is at work while the server is looked at
    await other.goto(`${base}/`);
    await other.waitForSelector('#model option', { state: 'attached' });
    await other.selectOption('#model', models[models.length > 1 ? 1 : 0]);
    await other.fill('#text', 'Write on, for ever.');
    await other.press('#text', 'Enter');
    await page.bringToFront();
    await page.keyboard.press('Alt+3');
    await page.waitForFunction(() => document.querySelector('#srv-live .spark polyline')?.getAttribute('points').split(' ').length > 14, null, { timeout: 20e3 });
    await page.waitForSelector('#srv-metrics td');
    await shot('server');
    await context.close();
  }
await browser.close();
await fake?.stop();
