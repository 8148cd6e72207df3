import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { ControlApi } from '../connection.ts';
import { remove } from './delete.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-delete-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeEach(() => void vi.spyOn(process.stdout, 'write').mockReturnValue(true));
afterEach(() => void vi.restoreAllMocks());

it('deletes the resources of files where apply writes them, namespaces last', async () => {
  const file = join(folder, 'all.yaml');
  const account = (name: string, namespace: string) =>
    `apiVersion: v1\nkind: ServiceAccount\nmetadata: { name: ${name}${namespace} }\n`;
  writeFileSync(
    file,
    [
      'apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n',
      account('a', ', namespace: ""'),
      account('b', ''),
      account('c', ', namespace: shop'),
    ].join('---\n'),
  );
  const calls: string[] = [];
  const request = async (method: string, path: string) => {
    calls.push(`${method} ${path}`);
    return { status: 200, body: {}, warnings: [] };
  };
  const files = { files: { paths: [file], recursive: false } };
  await remove({ request } as unknown as ControlApi, files, { namespace: 'own', all: false, ignoreNotFound: false });
  expect(calls).toEqual([
    'DELETE /api/v1/namespaces/own/serviceaccounts/a',
    'DELETE /api/v1/namespaces/own/serviceaccounts/b',
    'DELETE /api/v1/namespaces/shop/serviceaccounts/c',
    'DELETE /api/v1/namespaces/shop',
  ]);
});
