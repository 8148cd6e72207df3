import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Finding } from '../../compile/output/finding.ts';
import { buildView } from '../../mesh/build-view.ts';
import type { MeshChange, MeshView } from '../../mesh/view.ts';
import { testIssuer, workflowClaims } from '../testing/tokens.ts';
import { openJoinPolicies } from './join-policies.ts';
import { openUsedEvidence } from './used-evidence.ts';

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(join(tmpdir(), 'tulle-policies-'))));
afterEach(() => rm(folder, { recursive: true }));

const ci = testIssuer('https://ci.example');
const policy = (spec: object) => ({
  apiVersion: 'tulle.dev/v1alpha1',
  kind: 'JoinPolicy',
  metadata: { name: 'ci', namespace: 'shop' },
  spec,
});
const oidc = { issuer: ci.issuer, audiences: ['tulle'], claims: { repository: { exact: 'acme/shop' } }, jwks: ci.jwks };
const grants = (group: string) => ({ rules: [{ oidc, grant: { group } }] });
const group = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'WorkloadGroup',
  metadata: { name: 'reviews', namespace: 'shop' },
  spec: { template: { serviceAccount: 'reviews-sa' } },
};

it('are judged by and reported on as they are now', async () => {
  let view = buildView([group] as never, 1);
  let changed: (view: MeshView, change: MeshChange) => void = () => {};
  const reports: (readonly Finding[])[] = [];
  const lines: string[] = [];
  const used = await openUsedEvidence(join(folder, 'used.sqlite'));
  const policies = openJoinPolicies({
    used,
    mesh: {
      current: () => view,
      onChange: (listener) => {
        changed = listener;
        return () => {};
      },
    },
    status: { report: (_, findings) => void reports.push(findings) },
    log: (line) => void lines.push(line),
  });
  const write = (spec: object) => {
    view = buildView([group, policy(spec)] as never, 2);
    changed(view, { resources: new Map([['JoinPolicy', new Set(['shop/ci'])]]), settings: false } as never);
  };
  const ask = () => {
    const token = ci.token(workflowClaims('acme/shop', 'tulle', Date.now()));
    return policies.judges.oidc({ kind: 'oidc', token }, { csr: '' });
  };
  const said = () => reports.at(-1)!.map(({ reason, message }) => `${reason} ${message}`);
  try {
    await expect(ask()).rejects.toThrow('no JoinPolicy accepts');
    write(grants('reviews'));
    expect((await ask()).join).toMatchObject({ namespace: 'shop', serviceAccount: 'reviews-sa' });
    expect(said()).toEqual([]);
    write(grants('ratings'));
    await expect(ask()).rejects.toThrow('no JoinPolicy accepts');
    expect(said()).toEqual([
      'RuleWithoutEffect spec.rules[0].grant.group: there is no WorkloadGroup "ratings": machines are refused',
    ]);
    // A certificate that cannot be parsed, which validation would have refused, takes its own rule out of force alone.
    const broken = { certificate: { trustedRoots: 'x', subjectAltNames: [] }, grant: { group: 'reviews' } };
    write({ rules: [broken, ...grants('reviews').rules] });
    expect((await ask()).join).toMatchObject({ serviceAccount: 'reviews-sa' });
    expect(said()).toEqual([
      expect.stringMatching(/^RuleWithoutEffect spec\.rules\[0\]: .*: the rule grants nothing$/),
    ]);
    write({ ...grants('reviews'), namespaces: ['infra'] });
    await expect(ask()).rejects.toThrow('no JoinPolicy accepts');
    expect(said()[0]).toContain('spec.namespaces: is for policies of the root namespace istio-system');
    expect(lines).toContain(`JoinPolicy shop/ci: ${said()[0]!.replace('RuleWithoutEffect ', '')}`);
  } finally {
    policies.close();
    used.close();
  }
});

it('remember what was used over a restart, as long as it would be taken again', async () => {
  const file = join(folder, 'used.sqlite');
  let now = 1000;
  const open = () => openUsedEvidence(file, () => now);
  let used = await open();
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await used.claim({ id: 'a', until: 100_000 })).toBe(true);
  expect(await used.claim({ id: 'b', until: 500_000 })).toBe(true);
  await expect(open()).rejects.toThrow('in use by another process');
  used.close();
  used = await open();
  try {
    expect([used.isUsed({ id: 'a', until: 0 }), await used.claim({ id: 'a', until: 100_000 })]).toEqual([true, false]);
    now = 200_000;
    expect(await used.claim({ id: 'c', until: 500_000 })).toBe(true);
    expect(['a', 'b', 'c'].map((id) => used.isUsed({ id, until: 0 }))).toEqual([false, true, true]);
  } finally {
    used.close();
  }
});
