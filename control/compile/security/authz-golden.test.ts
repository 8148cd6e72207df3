/** All of Istio's own cases of AuthorizationPolicy -> filters, exact after proto3-JSON normalisation. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { parseMeshConfig } from '../../mesh/mesh-config.ts';
import type { MeshService } from '../../mesh/view.ts';
import { authorizersOf } from './authorizers.ts';
import { buildCustomFilters } from './custom.ts';
import { type AuthorizationPolicy, buildRbacFilters, policiesFor } from './rbac.ts';

const GOLDEN = new URL('../../../../shared/reference/authz-golden/', import.meta.url);
const available = existsSync(GOLDEN);
if (!available) console.info("skipped: Istio's cases of AuthorizationPolicy are not present");

interface Case {
  readonly id: string;
  readonly protocol: 'http' | 'tcp';
  readonly input: string;
  readonly expected: readonly string[];
  readonly trustDomain?: string;
  readonly trustDomainAliases?: string[];
  readonly meshConfig?: object;
  /** Only the filters of CUSTOM policies are built. */
  readonly customProviderPass?: boolean;
}

const read = (name: string) => readFileSync(new URL(name, GOLDEN), 'utf8');
const documents = (name: string) => parseAllDocuments(read(name)).map((document) => document.toJS() as unknown);

/** Canonical proto3 JSON: fields in order, defaults left out. The policies of RBAC are a map: its empty form is none. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .map(([key, field]) => [key, canonical(field)] as const)
    .filter(([key, field]) => !isDefault(key, field))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries);
}

function isDefault(key: string, field: unknown): boolean {
  if (field === '' || field === false || field === 0 || (key === 'action' && field === 'ALLOW')) return true;
  if (Array.isArray(field)) return field.length === 0;
  return key === 'policies' && Object.keys(field as object).length === 0;
}

/** The only service of the registry that the cases were made with. */
const SERVICE = {
  hostname: 'my-custom-ext-authz.foo.svc.cluster.local',
  namespace: 'foo',
  exportTo: ['*'],
} as unknown as MeshService;

function built({ protocol: kind, trustDomain = '', trustDomainAliases = [], ...one }: Case): unknown[] {
  const policies = policiesFor(
    documents(one.input).filter((item): item is AuthorizationPolicy => item !== null),
    { namespace: 'foo', labels: { app: 'httpbin', version: 'v1' } },
    'istio-system',
  );
  const ctx = { trustDomain, trustDomainAliases, rootNamespace: 'istio-system' };
  const settings = parseMeshConfig(JSON.stringify(one.meshConfig ?? {}));
  const authorizers = authorizersOf({ services: [SERVICE], settings });
  const custom = { ...ctx, authorizers, multipleAuthorizers: false };
  if (kind === 'http')
    return one.customProviderPass
      ? buildCustomFilters(policies, { ...custom, kind })
      : buildRbacFilters(policies, { ...ctx, kind });
  return one.customProviderPass
    ? buildCustomFilters(policies, { ...custom, kind })
    : buildRbacFilters(policies, { ...ctx, kind });
}

describe.skipIf(!available)("Istio's own cases of AuthorizationPolicy", () => {
  const cases = available ? (JSON.parse(read('cases.json')) as { cases: Case[] }).cases : [];
  it('are 16', () => expect(cases.length).toBe(16));
  it.each(cases)('$id', (one) => {
    const expected = one.expected.map((name) => canonical(documents(name)[0]));
    expect(built(one).map(canonical)).toEqual(expected);
  });
});
