/** kubectl reads, lists, changes, deletes and watches resources over the API. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { customResourceDefinition } from '../../../control/api/openapi/custom-resources.ts';
import { reviewKinds } from '../../../control/api/openapi/review-kinds.ts';
import { kinds } from '../../../shared/resources/index.ts';
import { kubectlBinary } from '../../kit/command.ts';
import { Program, type Ran, run } from '../../kit/process.ts';
import { type KubectlApi, startKubectlApi } from './kubectl-api.ts';

let api: KubectlApi;
beforeAll(async () => {
  api = await startKubectlApi();
});
afterAll(() => api.stop());

function kubectl(input: string, ...more: string[]): Promise<Ran> {
  const [program, ...args] = api.command;
  return run(program, [...args, ...more], { input });
}

const apply = (yaml: string) => kubectl(yaml, 'apply', '--validate=false', '-f', '-');

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

if (!kubectlBinary) console.warn('skipped: kubectl is not on the PATH');

describe.skipIf(!kubectlBinary)('kubectl', () => {
  it('creates, applies, replaces and deletes a list, whose fields it validates itself', async () => {
    const list = (field: string) =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'List',
        items: [
          {
            apiVersion: 'v1',
            kind: 'ConfigMap',
            metadata: { name: 'listed', namespace: 'default' },
            [field]: { a: 'b' },
          },
          {
            apiVersion: 'networking.istio.io/v1',
            kind: 'VirtualService',
            metadata: { name: 'listed', namespace: 'default' },
            spec: { hosts: ['listed'], http: [{ route: [{ destination: { host: 'listed' } }], timeout: '1s' }] },
          },
        ],
      });
    for (const verb of ['create', 'apply', 'replace', 'delete']) {
      const { code, out, error } = await kubectl(list('data'), verb, '-f', '-');
      expect([verb, code, error.replace(/Warning: .*\n/g, '').trim()]).toEqual([verb, 0, '']);
      expect(out).toMatch(/configmap.*listed.*\nvirtualservice\.networking\.istio\.io.*listed/);
    }
    const { code, error } = await kubectl(list('date'), 'create', '-f', '-');
    expect(code).toBe(1);
    expect(error).toContain('unknown field "date" in io.k8s.api.core.v1.ConfigMap');
  });

  it('applies, reads, lists as a table, changes and deletes a VirtualService', async () => {
    expect(await apply(route('reviews'))).toMatchObject({ code: 0, out: expect.stringContaining('reviews created') });
    expect((await apply(route('reviews'))).out).toContain('reviews unchanged');
    expect((await apply(route('ratings'))).out).toContain('reviews configured');
    const { out } = await kubectl('', 'get', 'vs', '-A');
    expect(out).toMatch(/^NAMESPACE +NAME +GATEWAYS +HOSTS +AGE +CONDITION\n/);
    expect(out).toMatch(/default +reviews +\["ratings"\]/);
    expect((await kubectl('', 'get', 'vs', 'reviews', '-o', 'jsonpath={.spec.hosts[0]}')).out).toBe('ratings');
    expect((await kubectl('', 'label', 'vs', 'reviews', 'team=shop')).code).toBe(0);
    expect((await kubectl('', 'get', 'vs', '-l', 'team=shop', '-o', 'name')).out).toContain('/reviews\n');
    expect(await kubectl('', 'delete', 'vs', 'reviews')).toMatchObject({ code: 0 });
    expect((await kubectl('', 'get', 'vs', 'reviews')).error).toContain('(NotFound)');
  });

  it('applies core kinds with a strategic merge', async () => {
    expect((await apply(named('Namespace', 'shop'))).error).toBe('');
    expect((await apply(service(81))).out).toContain('reviews created');
    expect((await apply(service(82))).out).toContain('reviews configured');
    const { out } = await kubectl('', '-n', 'shop', 'get', 'svc', 'reviews', '-o', 'jsonpath={.spec.ports[*].port}');
    expect(out).toBe('80 82');
    expect((await kubectl('', 'delete', 'namespace', 'shop')).code).toBe(0);
    expect((await kubectl('', 'get', 'svc', '-A', '-o', 'name')).out).toBe('');
  });

  it('shows every violation of a bad resource', async () => {
    const bad = await kubectl(
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
    const warned = await kubectl(odd('nonsense'), 'apply', '--validate=warn', '-f', '-');
    expect(warned).toMatchObject({ code: 0, error: expect.stringContaining('unknown field "spec.nonsense"') });
    const ignored = await kubectl(odd('rubbish'), 'apply', '--validate=ignore', '-f', '-');
    expect(ignored).toMatchObject({ code: 0, error: expect.not.stringContaining('spec.rubbish') });
    expect((await kubectl('', 'get', 'vs', 'reviews', '-o', 'jsonpath={.spec}')).out).not.toContain('rubbish');
    expect((await kubectl('', 'delete', 'vs', 'reviews')).code).toBe(0);
  });

  it("prints the warnings of Istio's webhook", async () => {
    const twice = JSON.stringify({
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name: 'twice' },
      spec: { hosts: ['a'], http: [1, 2].map(() => ({ route: [{ destination: { host: 'a' } }] })) },
    });
    const applied = await kubectl(twice, 'apply', '-f', '-');
    expect(applied).toMatchObject({ code: 0 });
    expect(applied.error).toBe('Warning: spec.http[1]: is never reached: spec.http[0] before it matches everything\n');
    expect((await kubectl('', 'delete', 'vs', 'twice')).code).toBe(0);
  });

  it('watches', async () => {
    const watch = new Program('kubectl', [...api.command, 'get', 'configmaps', '--watch', '-o', 'name']);
    const shown = (line: string) => watch.line((one) => one === line || undefined);
    try {
      expect((await apply(named('ConfigMap', 'first'))).code).toBe(0);
      await shown('configmap/first');
      expect((await apply(named('ConfigMap', 'second'))).code).toBe(0);
      await shown('configmap/second');
      expect(watch.lines).toEqual(['configmap/first', 'configmap/second']);
    } finally {
      await watch.stop();
    }
  });

  it('names what is served', async () => {
    const { out } = await kubectl('', 'api-resources', '-o', 'name');
    expect(out.trim().split('\n').sort()).toEqual(
      [...kinds, ...reviewKinds, customResourceDefinition]
        .map(({ plural, group }) => (group ? `${plural}.${group}` : plural))
        .sort(),
    );
    expect((await kubectl('', 'version')).out).toContain('Server Version: v1.32.0+tulle-0.1.0');
  });
});
