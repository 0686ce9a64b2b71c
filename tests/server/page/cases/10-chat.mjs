/* 10-chat.mjs - answers come, stop, are kept, edited, made again; any server. */
import { ask, ended, kept, lastAnswer, running, send, set, check, same, sleep, skip, until } from '../kit.mjs';

const short = { temperature: 0, seed: 7, max_tokens: 48 };
const request = (k, content, more = {}) => ({ model: k.model, messages: [{ role: 'user', content }], ...short, ...more });

export default [
  { id: 'chat.same-text', what: 'the text that streams into the page is the text of the API, and so is what is shown', async run(k) {
    const page = await k.open(), prompt = 'Tell me about the sea.';
    await set(page, short);
    await ask(page, prompt);
    const a = await lastAnswer(page), api = await k.api('v1/chat/completions', request(k, prompt));
    check(a.text.length > 0, 'the answer is empty');
    same(a.text, api.choices[0].message.content, 'kept text against the API');
    same(a.end, api.choices[0].finish_reason, 'how it ended');
    const [streamed, whole] = await page.evaluate(async text => {
      const { markdown } = await import('/page/markdown.js');
      return [document.querySelector('.answer:last-child .md').innerHTML, markdown(text, document.createElement('div')).innerHTML];
    }, a.text);
    same(streamed, whole, 'shown against the text drawn at once');
  } },
  { id: 'chat.conversation', what: 'the second question goes with the first and its answer; the system prompt in front', async run(k) {
    const page = await k.open(), bodies = [];
    page.on('request', r => { if (r.url().endsWith('/v1/chat/completions')) bodies.push(r.postDataJSON()); });
    await set(page, { ...short, max_tokens: 8, system: 'Be brief.' });
    await ask(page, 'One?');
    await ask(page, 'Two?');
    const first = (await kept(page))[1].variants[0].text;
    same(JSON.stringify(bodies[1].messages), JSON.stringify([{ role: 'system', content: 'Be brief.' }, { role: 'user', content: 'One?' }, ...(first ? [{ role: 'assistant', content: first }] : []), { role: 'user', content: 'Two?' }]), 'messages');
    same(bodies[1].temperature, 0, 'temperature');
    same('top_k' in bodies[1], false, 'a field left empty is sent');
  } },
  { id: 'chat.stop', what: 'Esc stops; the place on the server is free at once; what had come is kept', async run(k) {
    const page = await k.open({ slow: true });
    await set(page, { max_tokens: 3000, temperature: 1.5 });
    await send(page, 'Write for ever, without an end.');
    await page.locator('.answer.running .md').filter({ hasText: /\S/ }).waitFor();
    const busy = async () => (await k.api('slots')).filter(s => s.is_processing).length;
    if (await busy() === 0) skip('the answer was over before it could be stopped');
    const t = Date.now();
    await page.keyboard.press('Escape');
    await ended(page);
    await until(async () => await busy() === 0, 'all slots free', 2000);
    k.note(`free after ${Date.now() - t} ms`);
    const a = await lastAnswer(page);
    same(a.end, 'stopped', 'end');
    check(a.text.length > 0, 'nothing is kept');
    await page.locator('.notice', { hasText: 'You have stopped it here.' }).waitFor();
  } },
  { id: 'chat.stop-button', what: 'the button stops, and sends again after it', async run(k) {
    const page = await k.open({ slow: true });
    await set(page, { max_tokens: 2000, temperature: 1.5 });
    await send(page, 'Write for ever.');
    await running(page);
    await page.click('#send');
    await ended(page);
    await set(page, short);
    await page.selectOption('#model', k.model);
    await ask(page, 'And now?');
    same((await kept(page)).length, 4, 'messages');
  } },
  { id: 'chat.reload', what: 'a reload keeps conversations, messages and settings', async run(k) {
    const page = await k.open();
    await set(page, { ...short, max_tokens: 12 });
    await ask(page, 'Will you stay?');
    const before = await page.locator('#log').innerText(), messages = JSON.stringify(await kept(page));
    await page.reload();
    await page.locator('.answer').waitFor();
    await until(async () => await page.locator('#log').innerText() === before, 'the same text after the reload');
    same(JSON.stringify(await kept(page)), messages, 'messages');
    same(await page.inputValue('#set-max_tokens'), '12', 'settings');
    await page.getByRole('button', { name: 'Will you stay?', exact: true }).waitFor();
  } },
  { id: 'chat.reload-midway', what: 'a page that is left in the middle of an answer comes back with what it had', async run(k) {
    const page = await k.open({ slow: true });
    await set(page, { max_tokens: 3000, temperature: 1.5 });
    await send(page, 'Write for ever.');
    await page.locator('.answer.running .md').filter({ hasText: /\S/ }).waitFor();
    await sleep(300);
    await page.reload();
    await page.locator('.answer').waitFor();
    const [user, answer] = await kept(page).then(m => [m[0], m[1]]);
    same(user.text, 'Write for ever.', 'question');
    if (answer) check(['lost', 'stopped', 'length', 'stop'].includes(answer.variants[0].end), `end ${answer.variants[0].end}`);
    await page.getByRole('button', { name: 'Answer again' }).waitFor();
  } },
  { id: 'chat.again', what: 'another answer stands beside the first, and both can be had', async run(k) {
    const page = await k.open();
    await set(page, { max_tokens: 12, temperature: 1 });
    await ask(page, 'Once more?');
    const one = (await lastAnswer(page)).text;
    await page.getByRole('button', { name: 'Answer again' }).click();
    await page.getByText('2/2').waitFor();
    await page.getByRole('button', { name: 'Earlier answer' }).click();
    await page.getByText('1/2').waitFor();
    await until(async () => (await lastAnswer(page)).text === one, 'the first answer is kept as the one that holds');
  } },
  { id: 'chat.edit', what: 'an edited question is answered anew, later messages go, and Undo brings them back', async run(k) {
    const page = await k.open();
    await set(page, { ...short, max_tokens: 8 });
    await ask(page, 'First question');
    await ask(page, 'Second question');
    const old = JSON.stringify(await kept(page));
    await page.locator('.user').first().hover();
    await page.getByRole('button', { name: 'Edit this message' }).first().click();
    await page.getByLabel('Edit the message').fill('Another question');
    await page.keyboard.press('Enter');
    await until(async () => (await kept(page)).length === 2 && (await kept(page))[1].variants.length === 1, 'two messages');
    await ended(page);
    same((await kept(page))[0].text, 'Another question', 'question');
    await page.getByRole('button', { name: 'Undo' }).click();
    await until(async () => JSON.stringify(await kept(page)) === old, 'what was there before');
    same(await page.locator('.msg').count(), 4, 'messages shown');
  } },
  { id: 'chat.two', what: 'an answer goes on while another conversation is looked at', async run(k) {
    const page = await k.open({ slow: true });
    await set(page, { ...short, max_tokens: 10 });
    await send(page, 'A long one, please.');
    await running(page);
    await page.click('#fresh');
    await ended(page);
    await page.getByRole('button', { name: 'A long one, please.', exact: true }).click();
    await page.locator('.answer:not(.running) .strip').waitFor();
    check((await lastAnswer(page)).text.length > 0, 'nothing came');
  } },
  { id: 'chat.list', what: 'conversations are found by title, renamed, deleted, and brought back', async run(k) {
    const page = await k.open();
    await set(page, { ...short, max_tokens: 2 });
    for (const t of ['Alpha question', 'Beta question']) { await page.click('#fresh'); await ask(page, t); }
    await page.fill('input[type=search]', 'beta');
    same(await page.locator('.conv').count(), 1, 'found');
    await page.fill('input[type=search]', '');
    const row = page.locator('.convs li').filter({ hasText: 'Alpha' });
    await row.hover();
    await row.getByRole('button', { name: 'Rename' }).click();
    await page.keyboard.type('Gamma');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Gamma', exact: true }).waitFor();
    const other = page.locator('.convs li').filter({ hasText: 'Beta' });
    await other.hover();
    await other.getByRole('button', { name: 'Delete' }).click();
    await until(async () => await page.locator('.conv').count() === 1, 'one is left');
    await page.getByRole('button', { name: 'Undo' }).click();
    await until(async () => await page.locator('.conv').count() === 2, 'it is back');
    await page.getByRole('button', { name: 'Beta question', exact: true }).click();
    await page.locator('.user', { hasText: 'Beta question' }).waitFor();
  } },
  { id: 'chat.export', what: 'what is exported can be taken in by another browser; a wrong file is refused whole', async run(k) {
    const page = await k.open();
    await set(page, { ...short, max_tokens: 6 });
    await ask(page, 'Carry me over');
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#export')]);
    check(/^tessera-conversations-\d{4}-\d\d-\d\d\.json$/.test(download.suggestedFilename()), download.suggestedFilename());
    const file = await download.path(), other = await k.open();
    await other.setInputFiles('#import-file', file);
    await other.getByRole('button', { name: 'Carry me over', exact: true }).click();
    await other.locator('.answer .strip').waitFor();
    same(JSON.stringify(await kept(other)), JSON.stringify(await kept(page)), 'messages');
    for (const [text, why] of [['{', 'not JSON'], ['[]', 'no export'], ['{"format":"tessera-conversations","version":1,"conversations":[{"title":"x","messages":[]},{"title":"y","messages":[{"role":"assistant","variants":[{"text":5}]}]}]}', 'is not a text']]) {
      await other.setInputFiles('#import-file', { name: 'x.json', mimeType: 'application/json', buffer: Buffer.from(text) });
      await other.locator('#toast', { hasText: why }).waitFor();
    }
    same(await other.locator('.conv').count(), 1, 'conversations after refused files');
  } },
  { id: 'chat.attach', what: 'a text file goes with the message; what is no text is refused', async run(k) {
    const page = await k.open(), bodies = [];
    page.on('request', r => { if (r.url().endsWith('/v1/chat/completions')) bodies.push(r.postDataJSON()); });
    await set(page, { ...short, max_tokens: 4 });
    await page.setInputFiles('#file', [{ name: 'note.md', mimeType: 'text/plain', buffer: Buffer.from('with ```fences``` inside') }, { name: 'x.bin', mimeType: 'application/octet-stream', buffer: Buffer.from([0xff, 0xfe, 0]) }]);
    await page.locator('#toast', { hasText: 'x.bin is no text' }).waitFor();
    await ask(page, 'What does it say?');
    const content = bodies[0].messages[0].content;
    check(content.includes('File note.md:\n````\nwith ```fences``` inside\n````'), content);
    await page.locator('.user', { hasText: 'note.md' }).waitFor();
  } },
  { id: 'chat.schema', what: 'an answer by a schema is JSON of that schema', async run(k) {
    const page = await k.open(), schema = { type: 'object', properties: { name: { type: 'string', maxLength: 12 }, year: { type: 'integer' } }, required: ['name', 'year'], additionalProperties: false };
    await set(page, { temperature: 0, max_tokens: 200, format: 'json_schema', schema: JSON.stringify(schema, null, 2) });
    await ask(page, 'Who and when?');
    const a = await lastAnswer(page);
    check(a.end === 'stop', `it ended by ${a.end}: ${a.error ?? ''}`);
    const x = JSON.parse(a.text);
    check(typeof x.name === 'string' && Number.isInteger(x.year), a.text);
    same(await page.locator('.answer .code code').innerText(), a.text, 'shown as code');
  } },
  { id: 'chat.schema-wrong', what: 'a schema that is no JSON is named before it is sent; what the server refuses stands at the box', async run(k) {
    const page = await k.open();
    await page.click('#settings-toggle');
    await set(page, { format: 'json_schema', schema: '{\n "type": object }' });
    await page.locator('#error-schema', { hasText: 'Not JSON' }).waitFor();
    await send(page, 'Hello');
    await page.locator('#toast', { hasText: 'Not JSON' }).waitFor();
    same(await page.locator('.msg').count(), 0, 'messages');
    await set(page, { schema: '{"type": "array", "uniqueItems": true}' });
    await page.click('#settings-toggle');
    await page.click('#send');
    await page.locator('#error-schema', { hasText: 'uniqueItems' }).waitFor();
    await page.locator('.notice.bad', { hasText: 'uniqueItems' }).waitFor();
  } },
];
