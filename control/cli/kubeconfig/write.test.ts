import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { kubeconfig, kubeconfigAccess, mustNotReplace } from './write.ts';

const folder = mkdtempSync(join(tmpdir(), 'tulle-kubeconfig-'));
afterEach(() => vi.unstubAllEnvs());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const used = (text: string) => {
  writeFileSync(join(folder, 'used'), text);
  for (const name of ['TULLE_SERVER', 'TULLE_CA_FILE', 'TULLE_TOKEN']) vi.stubEnv(name, undefined);
  vi.stubEnv('TULLE_KUBECONFIG', join(folder, 'used'));
};

describe('kubeconfigAccess', () => {
  it('takes the kubeconfig in use for --user alone', () => {
    used(kubeconfig('https://mesh.example', 'ROOT', 'ADMIN'));
    expect(kubeconfigAccess({ user: 'jane' })).toEqual({ server: 'https://mesh.example', ca: 'ROOT', token: '' });
  });

  it('mixes no flag with the file, and needs all flags without --user', () => {
    used(kubeconfig('https://mesh.example', 'ROOT', 'ADMIN'));
    expect(() => kubeconfigAccess({ user: 'jane', server: 'https://other.example' })).toThrow('--token is missing');
    expect(() => kubeconfigAccess({ user: 'jane', server: 'https://a', token: 'T' })).toThrow('--ca-file is missing');
    expect(() => kubeconfigAccess({})).toThrow('--server is missing');
  });

  it('refuses a kubeconfig in use without a root certificate', () => {
    used('clusters: [{name: a, cluster: {server: "https://a"}}]');
    expect(() => kubeconfigAccess({ user: 'jane' })).toThrow('has no root certificate');
  });
});

it('a kubeconfig of a user replaces no file', () => {
  writeFileSync(join(folder, 'there'), '');
  expect(() => mustNotReplace(join(folder, 'there'), 'jane')).toThrow(/there exists, .* user jane/);
  expect(() => mustNotReplace(join(folder, 'absent'), 'jane')).not.toThrow();
});
