import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { buildView } from '../mesh/build-view.ts';
import { ISSUER_KEYS, keepIssuerKeys } from './issuer-keys.ts';

it('logs each source that fails once, and reports them together', async () => {
  const jwtRules = Array.from({ length: 200 }, (_, i) => ({ issuer: `i${i}`, jwksUri: `http://127.0.0.1:${i + 1}/` }));
  const policy = {
    apiVersion: 'security.istio.io/v1',
    kind: 'RequestAuthentication',
    metadata: { name: 'p', namespace: 'default' },
    spec: { jwtRules },
  };
  const view = buildView([policy as never], 1);
  const folder = await mkdtemp(join(tmpdir(), 'tulle-keys-'));
  const lines: string[] = [];
  const reported: number[] = [];
  const stop = await keepIssuerKeys(ISSUER_KEYS, {
    folder,
    mesh: { current: () => view, onChange: () => () => {}, setKeySets: () => {} },
    status: { report: (_, findings) => void reported.push(findings.length) },
    log: (line) => void lines.push(line),
    onError: (error) => {
      throw error;
    },
  });
  try {
    await vi.waitFor(() => expect(reported.at(-1)).toBe(200), { timeout: 20_000 });
    expect(new Set(lines).size).toBe(200);
    expect(lines).toHaveLength(200);
    expect(reported.length).toBeLessThan(50);
  } finally {
    await stop();
    await rm(folder, { recursive: true });
  }
});
