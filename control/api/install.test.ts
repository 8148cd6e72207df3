import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runSync } from '../../tests/kit/process.ts';
import { installRoutes } from './install.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-install-'));
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');
const content = 'an archive';
const files = [{ name: 'tulle.tgz', sha256: sha256(content), bytes: content.length }];
const reported: unknown[] = [];
const routes = (path: string | undefined) =>
  installRoutes({ folder: path, report: (error) => void reported.push(error) });

beforeAll(() => {
  writeFileSync(join(folder, 'tulle.tgz'), content);
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ version: '0', files }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('what bare machines download', () => {
  it('is a script that holds the digests of the files, and the files', async () => {
    const app = routes(folder);
    const listing = (await (await app.request('/install')).json()) as { script: { sha256: string }; files: unknown };
    const script = await (await app.request('/install/join.sh')).text();
    expect(sha256(script)).toBe(listing.script.sha256);
    expect(listing.files).toEqual(files);
    expect(script).toContain(files[0]!.sha256);
    const archive = await app.request('/install/tulle.tgz');
    expect(archive.headers.get('content-length')).toBe(String(content.length));
    expect(await archive.text()).toBe(content);
  });

  it('is a script that shells accept', async () => {
    const script = await (await routes(folder).request('/install/join.sh')).text();
    for (const shell of ['sh', 'bash'])
      expect(runSync(shell, ['-n'], { input: script })).toEqual({ code: 0, out: '', error: '' });
  });

  it.each(['/install/manifest.json', '/install/..%2fmanifest.json', '/install/other'])(
    'is nothing else: %s',
    async (path) => expect((await routes(folder).request(path)).status).toBe(404),
  );

  it('is not served where a file is not that of the build', async () => {
    writeFileSync(join(folder, 'tulle.tgz'), `${content} changed`);
    expect((await routes(folder).request('/install/tulle.tgz')).status).toBe(500);
    expect(String(reported.at(-1))).toContain('another size');
    writeFileSync(join(folder, 'tulle.tgz'), content);
  });

  it('counts neither a request without a body, nor a download that has ended or stalled', async () => {
    const large = mkdtempSync(join(folder, 'large-'));
    const bytes = 4 << 20;
    writeFileSync(join(large, 'tulle.tgz'), Buffer.alloc(bytes));
    const listed = [{ name: 'tulle.tgz', sha256: sha256(''), bytes }];
    writeFileSync(join(large, 'manifest.json'), JSON.stringify({ version: '0', files: listed }));
    const app = installRoutes({ folder: large, report: (error) => void reported.push(error), stalledMs: 1000 });
    const from = (remoteAddress: string, method = 'GET') =>
      app.request('/install/tulle.tgz', { method }, { remoteAddress });
    for (let i = 0; i < 40; i++) expect((await from('192.0.2.1', 'HEAD')).status).toBe(200);
    for (let i = 0; i < 10; i++) expect((await (await from('192.0.2.1')).bytes()).length).toBe(bytes);
    for (let i = 0; i < 8; i++) expect((await from('192.0.2.1')).status).toBe(200);
    const refused = await from('192.0.2.1');
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2']);
    expect((await from('192.0.2.2')).status).toBe(200);
    await expect.poll(async () => (await from('192.0.2.1')).status, { timeout: 5000 }).toBe(200);
  });

  it.each([undefined, tmpdir()])('is named as missing without a build (%s)', async (path) => {
    for (const url of ['/install', '/install/join.sh', '/install/tulle.tgz']) {
      const answer = await routes(path).request(url);
      expect(answer.status).toBe(404);
      expect(((await answer.json()) as { message: string }).message).toContain('run "npm run build"');
    }
  });

  it('fails at the start where the manifest is damaged', () => {
    writeFileSync(join(folder, 'manifest.json'), '{}');
    expect(() => routes(folder)).toThrow('manifest.json: is not what "npm run build" writes');
  });
});
