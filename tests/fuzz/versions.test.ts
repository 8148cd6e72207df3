/** Every served version of a kind is the same resource: written in one, read in any other, over the API. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { createApi, createInitialNamespaces } from '../../control/api/app.ts';
import { memoryStore } from '../../control/store/memory.ts';
import { kindByName, kinds, validate } from '../../shared/resources/index.ts';
import type { Kind } from '../../shared/resources/kind.ts';
import { resourceOf } from './arbitrary.ts';
import { seed } from './random.ts';

const crds = fileURLToPath(new URL('../../../shared/reference/istio-crds/crd-all.gen.yaml', import.meta.url));
const present = existsSync(crds);
if (!present) console.log('skipped: the reference data is not here');

let app: ReturnType<typeof createApi>;
beforeAll(async () => {
  const store = memoryStore();
  await createInitialNamespaces(store);
  app = createApi({ store, kinds: { kinds, validate }, isAdmin: () => true, version: '0.1.0' });
});

// biome-ignore lint/suspicious/noExplicitAny: what an API answers is judged field by field
async function send(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }> {
  const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  const headers = { authorization: 'Bearer x', 'content-type': type };
  const payload = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await app.request(`${path}${method === 'GET' ? '' : '?fieldValidation=Strict'}`, {
    method,
    headers,
    ...payload,
  });
  return { status: response.status, body: await response.json() };
}

const apiVersion = ({ group }: Kind, version: string) => `${group}/${version}`;
const collection = (kind: Kind, version: string) =>
  `/apis/${apiVersion(kind, version)}/namespaces/default/${kind.plural}`;

const several = kinds.filter((kind) => kind.versions.length > 1);

describe.each(several.map((kind) => [kind.kind, kind] as const))('%s', (_, kind) => {
  const pairs = kind.versions.flatMap((written) => kind.versions.map((read) => [written, read] as const));

  /** A few that are accepted, the same for every pair; those of chance that break a rule are passed over. */
  let made: Record<string, unknown>[] = [];
  beforeAll(() => {
    for (let round = 0; made.length < 3 && round < 20; round++) {
      const accepted = fc
        .sample(resourceOf(kind), { seed: seed + round, numRuns: 40 })
        .map((each) => ({ ...each, metadata: { name: 'one' } }))
        .filter((each) => Object.keys((each as { spec?: object }).spec ?? {}).length > 0)
        .filter((each) => validate(each).violations.length === 0);
      made = [...made, ...accepted].slice(0, 3);
    }
  });

  it.each(pairs)('written as %s, read as %s', async (written, read) => {
    expect(made).toHaveLength(3);
    const one = `${collection(kind, read)}/one`;
    for (const each of made) {
      const resource = { ...each, apiVersion: apiVersion(kind, written) };
      const created = await send('POST', collection(kind, written), resource);
      expect(created).toMatchObject({ status: 201, body: { apiVersion: apiVersion(kind, written) } });
      const wanted = { apiVersion: apiVersion(kind, read), kind: kind.kind, spec: created.body.spec };
      expect((await send('GET', one)).body).toMatchObject(wanted);
      const list = await send('GET', collection(kind, read));
      expect(list.body).toMatchObject({ apiVersion: apiVersion(kind, read), items: [wanted] });
      // Read in one version and written back in it, the resource stays the same.
      const back = await send('PUT', one, (await send('GET', one)).body);
      expect(back.body).toMatchObject({ ...wanted, metadata: { generation: 1 } });
      const patched = await send('PATCH', one, { metadata: { labels: { seen: read } } });
      expect(patched.body).toMatchObject({ ...wanted, metadata: { labels: { seen: read } } });
      expect((await send('GET', `${collection(kind, written)}/one`)).body.apiVersion).toBe(apiVersion(kind, written));
      expect((await send('DELETE', one)).status).toBe(200);
    }
  });

  it('a body of another version than the path is refused', async () => {
    const [first = '', second = ''] = kind.versions;
    const body = { apiVersion: apiVersion(kind, second), kind: kind.kind, metadata: { name: 'one' }, spec: {} };
    const refused = await send('POST', collection(kind, first), body);
    expect(refused).toMatchObject({ status: 400, body: { reason: 'BadRequest' } });
    expect((await send('GET', collection(kind, 'v9'))).status).toBe(404);
  });
});

interface Crd {
  spec: {
    group: string;
    names: { kind: string };
    versions: { name: string; served: boolean; schema: { openAPIV3Schema: unknown } }[];
  };
}

/** Two schemas that differ in their words alone are the same shape. */
function shape(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(shape);
  if (typeof schema !== 'object' || schema === null) return schema;
  const fields = Object.entries(schema).filter(([name, field]) => name !== 'description' || typeof field !== 'string');
  return Object.fromEntries(fields.map(([name, field]) => [name, shape(field)]));
}

describe.skipIf(!present)("Istio's CRDs", () => {
  it('serve the versions that we serve, all of one shape: nothing but apiVersion is to be converted', () => {
    const all = parseAllDocuments(readFileSync(crds, 'utf8')).map((document) => document.toJS() as Crd | null);
    const found = all.filter((crd) => crd !== null);
    expect(found.length).toBe(15);
    for (const { spec } of found) {
      const served = spec.versions.filter((version) => version.served);
      const kind = kindByName(spec.group, spec.names.kind);
      expect([...(kind?.versions ?? [])].sort(), spec.names.kind).toEqual(served.map(({ name }) => name).sort());
      for (const version of served) {
        expect(shape(version.schema), spec.names.kind).toEqual(shape(served[0]?.schema));
      }
    }
  });
});
