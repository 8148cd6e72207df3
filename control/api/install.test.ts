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
