import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readKubeContext } from './read.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-kubeconfig-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const path = join(folder, 'config');
function read(file: object, context?: string) {
  writeFileSync(path, JSON.stringify(file));
  return readKubeContext(path, context);
}

const lists = {
  clusters: [
    { name: 'first', cluster: { server: 'https://first.example' } },
    { name: 'second', cluster: { server: 'https://second.example' } },
  ],
  users: [{ name: 'admin', user: { token: 'T' } }],
  contexts: [
    { name: 'second', context: { cluster: 'second', user: 'admin' } },
    { name: 'no-cluster', context: { cluster: 'third', user: 'admin' } },
    { name: 'no-user', context: { cluster: 'first', user: 'other' } },
  ],
};

describe('readKubeContext', () => {
  it('resolves the current context, else the first cluster and user', () => {
    expect(read({ ...lists, 'current-context': 'second' })).toEqual({ server: 'https://second.example', token: 'T' });
    expect(read({ ...lists, 'current-context': '' })).toEqual({ server: 'https://first.example', token: 'T' });
  });

  it('takes no other cluster or user where a name is not in the files', () => {
    const found = (current: string) => () => read({ ...lists, 'current-context': current });
    expect(found('absent')).toThrow(`kubeconfig current-context absent: is not in ${path}`);
    expect(found('no-cluster')).toThrow(`kubeconfig context no-cluster: cluster: third is not in ${path}`);
    expect(found('no-user')).toThrow(`kubeconfig context no-user: user: other is not in ${path}`);
    expect(() => read(lists, 'absent')).toThrow(`--context absent: is not in ${path}`);
  });

  it('names the field that is malformed', () => {
    const lines = [
      [[], 'must be an object'],
      [{ clusters: 'x' }, 'clusters: must be a list of objects with a name and a cluster'],
      [{ users: [null] }, 'users: must be a list of objects with a name and a user'],
      [{ contexts: [{ name: 'a', context: 5 }] }, 'contexts: must be a list of objects with a name and a context'],
    ] as const;
    for (const [file, message] of lines) expect(() => read(file)).toThrow(`kubeconfig ${path}: ${message}`);
  });
});
