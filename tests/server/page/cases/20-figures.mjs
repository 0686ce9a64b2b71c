/* 20-figures.mjs - numbers: with marks, equal to the server's own; where it ran; compare; the server's state. */
import { ask, lastAnswer, set, check, same, send, skip, running, sleep, until } from '../kit.mjs';

const metric = (text, name) => Number(new RegExp(`^\\S*${name}(?:\\{[^}]*\\})? (\\S+)$`, 'm').exec(text)?.[1] ?? NaN);

export default [
  { id: 'figures.marks', what: 'every number of the strip has a mark, and says what the server said', async run(k) {
    const page = await k.open();
    await set(page, { temperature: 0, max_tokens: 32 });
    await ask(page, 'Count the waves.');
    const a = await lastAnswer(page), strip = page.locator('.strip');
    for (const f of await strip.locator('.figure').all())
      check(await f.locator('.mark').count() === 1 || await f.evaluate(e => e.classList.contains('none') && !/\d/.test(e.innerText)), `no mark: ${await f.innerText()}`);
    const value = async id => Number(await strip.locator(`[data-figure="${id}"]`).getAttribute('data-value'));
    check(a.usage && a.timings, 'the last chunk has no usage or timings');
    same(await value('out'), a.usage.completion_tokens, 'tokens of the answer');
    same(await value('in'), a.usage.prompt_tokens, 'tokens of the prompt');
    same(await value('rate'), a.timings.predicted_per_second, 'tokens/s');
    if (a.tessera?.ttft_ms) same(await value('first'), a.tessera.ttft_ms, 'first token');
    if (typeof a.tessera?.joules === 'number' && a.tessera.joules > 0) check(Math.abs(await value('joules') - a.tessera.joules / a.usage.completion_tokens) < 1e-9, 'J/token');
    else await strip.getByText('not measured on this machine').waitFor();
  } },
  { id: 'figures.metrics', what: 'the tokens of an answer are those by which /metrics has grown, and the Server view shows /metrics', async run(k) {
    const page = await k.open(), before = metric(await k.api('metrics'), 'tokens_predicted_total');
    check(Number.isFinite(before), '/metrics has no tokens_predicted_total');
    await set(page, { temperature: 0, max_tokens: 20 });
    await ask(page, 'How many?');
    const a = await lastAnswer(page);
    await until(async () => metric(await k.api('metrics'), 'tokens_predicted_total') - before === a.usage.completion_tokens, `tokens_predicted_total grows by ${a.usage.completion_tokens}`, 3000);
    await page.keyboard.press('Alt+3');
    const shown = async () => Object.fromEntries(await page.locator('#srv-metrics tr[data-metric]').evaluateAll(rows => rows.map(r => [r.dataset.metric, r.dataset.value])));
    const told = text => Object.fromEntries([...text.matchAll(/^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)/gm)].map(m => [m[1] + (m[2] ?? ''), m[3]]));
    await until(async () => { // those that stand still
      const x = told(await k.api('metrics')), s = await shown(), y = told(await k.api('metrics'));
      const still = Object.keys(x).filter(n => x[n] === y[n]);
      return still.length > 3 && still.some(n => n.includes('tokens_predicted_total')) && Object.keys(s).length === Object.keys(x).length && still.every(n => s[n] === x[n]);
    }, 'the view shows what /metrics says');
  } },
  { id: 'figures.where', what: 'where it ran: a bar for each operation, its times in a table, and whether checksums are equal', async run(k) {
    const page = await k.open();
    await set(page, { temperature: 0, max_tokens: 8 });
    await ask(page, 'Where did you run?');
    const a = await lastAnswer(page);
    if (!a.tessera?.ledger_id) skip('the answer has no ledger');
    await page.getByText('Where it ran').click();
    await page.locator('.ledger').waitFor();
    const ledger = await k.api(`tessera/ledger/${a.tessera.ledger_id}`);
    check(ledger.rows.length > 0, 'no rows');
    same(await page.locator('.ledger .ran').count(), Math.min(12, ledger.rows.length), 'bars');
    same(await page.locator('.ledger tbody tr').count(), ledger.rows.length, 'rows of the table');
    const checked = ledger.rows.reduce((s, r) => s + (r.checked ?? 0), 0), differ = ledger.rows.reduce((s, r) => s + (r.differ ?? 0), 0);
    await page.locator('.verdict', { hasText: differ ? 'differ' : checked ? 'Checksums equal' : /nothing to compare|No result was compared/ }).waitFor();
  } },
  { id: 'compare.identical', what: 'two devices, or one twice: the headline says that the texts are identical', async run(k) {
    const page = await k.open({ hash: '#compare' });
    await page.locator('#cmp-a option').first().waitFor({ state: 'attached' });
    const models = (await k.api('v1/models')).data.map(m => m.id);
    await page.selectOption('#cmp-a', k.model);
    const twin = k.twin ?? k.model;
    check(models.includes(twin), `${twin} is no model of the server`);
    await page.selectOption('#cmp-b', twin);
    await page.fill('#cmp-max_tokens', '24');
    await page.click('#cmp-run');
    await page.locator('#cmp-table table').waitFor({ timeout: 120000 });
    await page.locator('#headline.good', { hasText: 'Texts identical' }).waitFor();
    const [a, b] = await page.locator('.side-by .said').allInnerTexts();
    check(a.length > 0, 'no text');
    same(a, b, 'texts');
    check(await page.locator('#cmp-table tr[data-figure="rate"] .mark').count() >= 2, 'the table has no speeds');
  } },
  { id: 'compare.peer', what: 'another server (--peer) is asked by the page itself; the same model gives the same text there', async run(k) {
    const { peers } = await k.api('tessera/peers');
    if (!peers.length) skip('the server was started without --peer');
    const page = await k.open({ hash: '#compare' }), option = page.locator('#cmp-b option', { hasText: `${k.model} at ${peers[0].name}` });
    await option.waitFor({ state: 'attached' });
    await page.selectOption('#cmp-a', { label: k.model });
    await page.selectOption('#cmp-b', { label: await option.innerText() });
    await page.fill('#cmp-max_tokens', '32');
    await page.click('#cmp-run');
    await page.locator('#headline.good', { hasText: 'Texts identical' }).waitFor({ timeout: 60000 });
    await page.getByText('Where it ran').last().click();
    await page.locator('.side-by').last().locator('.ledger').waitFor();
  } },
  { id: 'compare.stop', what: 'a comparison stops at Esc, and says that it is none', async run(k) {
    const page = await k.open({ hash: '#compare' });
    await page.locator('#cmp-a option').first().waitFor({ state: 'attached' });
    for (const side of ['a', 'b']) await page.selectOption(`#cmp-${side}`, k.slow);
    await page.fill('#cmp-prompt', 'Write for ever.');
    await page.fill('#cmp-temperature', '1.5');
    await page.fill('#cmp-max_tokens', '3000');
    await page.click('#cmp-run');
    await page.getByRole('button', { name: 'Stop' }).waitFor();
    await sleep(100);
    await page.keyboard.press('Escape');
    await page.locator('#headline.bad', { hasText: 'Not comparable' }).waitFor();
    await until(async () => (await k.api('slots')).every(s => !s.is_processing), 'slots free', 2000);
  } },
  { id: 'server.lanes', what: 'the Server view shows a slot at work while an answer is made, and models, and what happens now', async run(k) {
    const page = await k.open({ hash: '#server' }), chat = await page.context().newPage();
    await chat.goto(`${k.base}/`);
    await chat.waitForSelector('#model option', { state: 'attached' });
    await chat.selectOption('#model', k.slow);
    await set(chat, { max_tokens: 3000, temperature: 1.5 });
    await send(chat, 'Write for ever.');
    await running(chat);
    await page.bringToFront();
    await page.locator('.lanes li[data-busy="true"]').first().waitFor();
    await chat.close();
    await page.locator('#srv-live .figure').first().waitFor();
    await page.locator('#srv-models').getByText(k.model, { exact: true }).waitFor();
    const power = page.locator('#srv-live [data-figure="watts"]');
    check(/\d.*W|not measured on this machine/s.test(await power.innerText()), await power.innerText());
    await until(async () => await page.locator('.lanes li[data-busy="true"]').count() === 0, 'the lanes are free again');
  } },
];
