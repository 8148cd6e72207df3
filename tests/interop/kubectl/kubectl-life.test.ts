/** The life of objects as kubectl sees it: finalizers, cascades, namespaces that terminate, conditions, pages. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { kubectlBinary } from '../../kit/command.ts';
import { run } from '../../kit/process.ts';
import { type KubectlApi, startKubectlApi } from './kubectl-api.ts';

let api: KubectlApi;
beforeAll(async () => {
  api = await startKubectlApi();
});
afterAll(() => api.stop());

const kubectl = (input: string, ...args: string[]) => {
  const [program, ...own] = api.command;
  return run(program, [...own, ...args], { input });
};
async function ok(input: string, ...args: string[]): Promise<string> {
  const { code, out, error } = await kubectl(input, ...args);
  expect([code, error], args.join(' ')).toEqual([0, expect.any(String)]);
  return out;
}
const configMap = (name: string, metadata: object = {}) =>
  JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...metadata } });
const names = async (namespace: string) =>
  (await ok('', '-n', namespace, 'get', 'cm', '-o', 'name')).split('\n').filter(Boolean);

describe.skipIf(!kubectlBinary)('kubectl, the life of objects', () => {
  it('cascades in the foreground, in the background, or leaves orphans', async () => {
    for (const [cascade, left] of [
      ['foreground', []],
      ['background', []],
      ['orphan', ['configmap/child']],
    ] as const) {
      const namespace = `cascade-${cascade}`;
      await ok('', 'create', 'namespace', namespace);
      await ok(configMap('owner'), '-n', namespace, 'create', '-f', '-');
      const uid = await ok('', '-n', namespace, 'get', 'cm', 'owner', '-o', 'jsonpath={.metadata.uid}');
      const reference = { apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid, blockOwnerDeletion: true };
      await ok(configMap('child', { ownerReferences: [reference] }), '-n', namespace, 'create', '-f', '-');
      await ok('', '-n', namespace, 'delete', 'cm', 'owner', `--cascade=${cascade}`, '--timeout=20s');
      await vi.waitFor(async () => expect(await names(namespace)).toEqual(left), { timeout: 20_000 });
    }
  });

  it('waits for a namespace until the last finalizer is taken off', async () => {
    await ok('', 'create', 'namespace', 'held');
    await ok(configMap('held', { finalizers: ['example.com/hold'] }), '-n', 'held', 'create', '-f', '-');
    await ok('', 'delete', 'namespace', 'held', '--wait=false');
    const late = await kubectl(configMap('late'), '-n', 'held', 'create', '-f', '-');
    expect(late.error).toContain('unable to create new content in namespace held because it is being terminated');
    await vi.waitFor(
      async () => {
        const described = await ok('', 'describe', 'namespace', 'held');
        expect(described).toMatch(/Status:\s+Terminating/);
        expect(described).toContain('example.com/hold in 1 resource instances');
      },
      { timeout: 20_000 },
    );
    const waiting = ok('', 'wait', '--for=delete', 'namespace/held', '--timeout=30s');
    await ok('', '-n', 'held', 'patch', 'cm', 'held', '--type=merge', '-p', '{"metadata":{"finalizers":null}}');
    await waiting;
  });

  it('waits for a condition that is written to the subresource status', async () => {
    const service = { apiVersion: 'v1', kind: 'Service', metadata: { name: 'a' }, spec: { ports: [{ port: 80 }] } };
    await ok(JSON.stringify(service), 'create', '-f', '-');
    const waiting = ok('', 'wait', '--for=condition=Ready', 'service/a', '--timeout=30s');
    const status = { status: { conditions: [{ type: 'Ready', status: 'True' }] } };
    await ok('', 'patch', 'service', 'a', '--subresource=status', '--type=merge', '-p', JSON.stringify(status));
    expect(await waiting).toContain('condition met');
    const table = await ok('', 'get', 'svc', 'a');
    expect(table).toMatch(/NAME\s+TYPE\s+CLUSTER-IP\s+EXTERNAL-IP\s+PORT\(S\)\s+AGE/);
    expect(table).toMatch(/a\s+ClusterIP\s+<none>\s+<none>\s+80\/TCP/);
  });

  it('lists in pages, deletes a collection, and finds the definitions of kinds', async () => {
    await ok('', 'create', 'namespace', 'pages');
    const maps = Array.from({ length: 7 }, (_, at) => `---\n${configMap(`m${at}`)}\n`).join('');
    await ok(maps, '-n', 'pages', 'create', '-f', '-');
    const pages = await kubectl('', '-n', 'pages', 'get', 'cm', '-o', 'name', '--chunk-size=3', '-v=6');
    expect(pages.out.split('\n').filter(Boolean)).toHaveLength(7);
    expect(pages.error.match(/limit=3/g)?.length).toBeGreaterThanOrEqual(3);
    await ok('', '-n', 'pages', 'delete', 'cm', '--all');
    expect(await names('pages')).toEqual([]);
    expect(await ok('', 'get', 'crd', '-o', 'name')).toContain('virtualservices.networking.istio.io');
    expect(await ok('', 'get', '--raw', '/readyz?verbose')).toContain('readyz check passed');
  });
});
