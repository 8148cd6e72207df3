import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kinds, validate } from '../../../shared/resources/index.ts';
import { memoryStore } from '../../store/memory.ts';
import { createApi, createInitialNamespaces } from '../app.ts';
import { nodeListener } from '../server/node-listener.ts';

const kubectl = (process.env['PATH'] ?? '')
  .split(':')
  .map((folder) => join(folder, 'kubectl'))
  .find((file) => existsSync(file));

const folder = mkdtempSync(join(tmpdir(), 'tulle-kubectl-'));
const kubeconfig = join(folder, 'kubeconfig');
let server: Server;

/** Plain HTTP on loopback: kubectl sends no token there, so the test's bindings authenticate the admin. */
beforeAll(async () => {
  const store = memoryStore();
  await createInitialNamespaces(store);
  const api = createApi({ store, kinds: { kinds, validate }, isAdmin: (token) => token === 'admin', version: '0.1.0' });
  const asAdmin = (request: Request, env: object) => {
    const headers = new Headers(request.headers);
    headers.set('authorization', 'Bearer admin');
    return api.fetch(new Request(request, { headers }), env);
  };
  server = createServer(nodeListener(asAdmin, () => ({})));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeFileSync(
    kubeconfig,
    `apiVersion: v1
kind: Config
clusters: [{ name: tulle, cluster: { server: "${address}" } }]
contexts: [{ name: tulle, context: { cluster: tulle, user: admin } }]
users: [{ name: admin, user: {} }]
current-context: tulle
`,
  );
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(folder, { recursive: true });
});

const args = (...more: string[]) => ['--kubeconfig', kubeconfig, '--cache-dir', join(folder, 'cache'), ...more];

async function run(input: string, ...more: string[]): Promise<{ code: number; out: string; error: string }> {
  return await new Promise((resolve) => {
    const child = execFile(kubectl ?? '', args(...more), (failure, out, error) =>
      resolve({ code: failure ? Number(failure.code ?? 1) : 0, out, error }),
    );
    child.stdin?.end(input);
  });
}

const apply = (yaml: string) => run(yaml, 'apply', '--validate=false', '-f', '-');

const route = (host: string) => `apiVersion: networking.istio.io/v1beta1
kind: VirtualService
metadata:
  name: reviews
spec:
  hosts: [${host}]
  http:
  - route:
    - destination: { host: reviews }
`;
const service = (port: number) => `apiVersion: v1
kind: Service
metadata: { name: reviews, namespace: shop }
spec:
  selector: { app: reviews }
  ports:
  - { name: http, port: 80 }
  - { name: http-more, port: ${port} }
`;

const named = (kind: string, name: string) => `apiVersion: v1\nkind: ${kind}\nmetadata: { name: ${name} }\n`;

describe.skipIf(!kubectl)(`kubectl${kubectl ? '' : ' (skipped: kubectl is not on PATH)'}`, () => {
  it('applies, reads, lists as a table, changes and deletes a VirtualService', async () => {
    expect(await apply(route('reviews'))).toMatchObject({ code: 0, out: expect.stringContaining('reviews created') });
    expect((await apply(route('reviews'))).out).toContain('reviews unchanged');
    expect((await apply(route('ratings'))).out).toContain('reviews configured');
    const { out } = await run('', 'get', 'vs', '-A');
    expect(out).toMatch(/^NAMESPACE +NAME +GATEWAYS +HOSTS +AGE\n/);
    expect(out).toMatch(/default +reviews +\["ratings"\]/);
    expect((await run('', 'get', 'vs', 'reviews', '-o', 'jsonpath={.spec.hosts[0]}')).out).toBe('ratings');
    expect((await run('', 'label', 'vs', 'reviews', 'team=shop')).code).toBe(0);
    expect((await run('', 'get', 'vs', '-l', 'team=shop', '-o', 'name')).out).toContain('/reviews\n');
    expect(await run('', 'delete', 'vs', 'reviews')).toMatchObject({ code: 0 });
    expect((await run('', 'get', 'vs', 'reviews')).error).toContain('(NotFound)');
  });

  it('applies core kinds with a strategic merge', async () => {
    expect((await apply(named('Namespace', 'shop'))).error).toBe('');
    expect((await apply(service(81))).out).toContain('reviews created');
    expect((await apply(service(82))).out).toContain('reviews configured');
    const { out } = await run('', '-n', 'shop', 'get', 'svc', 'reviews', '-o', 'jsonpath={.spec.ports[*].port}');
    expect(out).toBe('80 82');
    expect((await run('', 'delete', 'namespace', 'shop')).code).toBe(0);
    expect((await run('', 'get', 'svc', '-A', '-o', 'name')).out).toBe('');
  });

  it('shows every violation of a bad resource', async () => {
    const bad = await run(
      route('reviews').replace('hosts: [reviews]', 'hosts: [reviews]\n  nonsense: 1'),
      'apply',
      '-f',
      '-',
    );
    expect(bad.code).toBe(1);
    expect(bad.error).toContain('strict decoding error: unknown field "spec.nonsense"');
  });

  it('warns of unknown fields, or ignores them, as requested', async () => {
    const odd = (name: string) => route('ratings').replace('hosts: [ratings]', `hosts: [ratings]\n  ${name}: 1`);
    const warned = await run(odd('nonsense'), 'apply', '--validate=warn', '-f', '-');
    expect(warned).toMatchObject({ code: 0, error: expect.stringContaining('unknown field "spec.nonsense"') });
    const ignored = await run(odd('rubbish'), 'apply', '--validate=ignore', '-f', '-');
    expect(ignored).toMatchObject({ code: 0, error: expect.not.stringContaining('spec.rubbish') });
    expect((await run('', 'get', 'vs', 'reviews', '-o', 'jsonpath={.spec}')).out).not.toContain('rubbish');
    expect((await run('', 'delete', 'vs', 'reviews')).code).toBe(0);
  });

  it("prints the warnings of Istio's webhook", async () => {
    const twice = JSON.stringify({
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'twice' },
      spec: { hosts: ['a'], http: [1, 2].map(() => ({ route: [{ destination: { host: 'a' } }] })) },
    });
    const applied = await run(twice, 'apply', '-f', '-');
    expect(applied).toMatchObject({ code: 0 });
    expect(applied.error).toBe('Warning: spec.http[1]: is never reached: spec.http[0] before it matches everything\n');
    expect((await run('', 'delete', 'vs', 'twice')).code).toBe(0);
  });

  it('watches', async () => {
    const child = spawn(kubectl ?? '', args('get', 'configmaps', '--watch', '-o', 'name'), {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      expect((await apply(named('ConfigMap', 'first'))).code).toBe(0);
      expect((await lines.next()).value).toBe('configmap/first');
      expect((await apply(named('ConfigMap', 'second'))).code).toBe(0);
      expect((await lines.next()).value).toBe('configmap/second');
    } finally {
      child.kill();
    }
  });

  it('names what is served', async () => {
    const { out } = await run('', 'api-resources', '-o', 'name');
    expect(out.trim().split('\n').sort()).toEqual(
      kinds.map(({ plural, group }) => (group ? `${plural}.${group}` : plural)).sort(),
    );
    expect((await run('', 'version')).out).toContain('Server Version: v1.32.0+tulle-0.1.0');
  });
});
