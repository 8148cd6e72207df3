/** Real kubectl over TLS with the kubeconfig that `tulle kubeconfig` writes, as a user of both would. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { parseDocuments } from '../../../shared/resources/read/parse.ts';
import { kubectlBinary, tulle } from '../../kit/command.ts';
import { LoopbackMesh } from '../../kit/mesh.ts';
import { outputOf, Program, type Ran, run } from '../../kit/process.ts';

const minor = kubectlBinary ? minorVersion(kubectlBinary) : 0;
/** From 1.27 on kubectl reads OpenAPI v3, the only one served here. */
const knowsV3 = minor >= 27;
if (!kubectlBinary) console.warn('skipped: kubectl is not on the PATH');
else if (!knowsV3) console.warn(`skipped in part: kubectl 1.${minor} reads OpenAPI v2 only`);

function minorVersion(binary: string): number {
  const version = JSON.parse(outputOf(binary, ['version', '--client', '-o', 'json'])) as {
    clientVersion: { minor: string };
  };
  return Number.parseInt(version.clientVersion.minor, 10);
}

const virtualService = (name: string, host = 'reviews', spec = {}) =>
  stringify({
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name, labels: { team: 'shop' } },
    spec: { hosts: [host], http: [{ route: [{ destination: { host } }] }], ...spec },
  });

describe.skipIf(!kubectlBinary)('kubectl', () => {
  const mesh = new LoopbackMesh();
  const config = join(mesh.folder, 'kubeconfig');
  const flags = ['--cache-dir', join(mesh.folder, 'cache')];
  const kubectl = (input: string, ...args: string[]) =>
    run(kubectlBinary!, [...flags, ...args], { input, env: { KUBECONFIG: config } });
  const ok = async (input: string, ...args: string[]): Promise<string> => {
    const ran: Ran = await kubectl(input, ...args);
    expect(ran, args.join(' ')).toMatchObject({ code: 0 });
    return ran.out;
  };

  beforeAll(async () => {
    await mesh.startControl();
    const given = ['--server', mesh.url, '--token', mesh.adminToken, '--ca-file', mesh.trustBundleFile];
    const { code, out } = await tulle(['kubeconfig', ...given]);
    expect(code).toBe(0);
    writeFileSync(config, out, { mode: 0o600 });
  });
  afterAll(() => mesh.stop(), 120_000);

  it('reads YAML as we do', async () => {
    const lines = [
      'apiVersion: v1\r\nkind: ConfigMap\r\nmetadata: {name: a}\r\nx: &x {b: 1, c: 9}',
      'own: {b: 5, <<: *x}\r\nmerged: {<<: *x, b: 5}\r\nlist: {b: 8, <<: [*x, {b: 7, z: 1}]}',
      'twice: {<<: {q: 1}, <<: {q: 2, r: 2}}\r\nswitch: [on, off, yes, n, 0777, 0o17, 1_000, 1:30, ~, .5, 1e3]',
      'text: |\r\n  one\r\n  two\r\nfolded: "a\r\n  b"\r\n80: w\r\ndate: 2001-12-14\r\n# end\r\n',
    ];
    const text = lines.join('\r\n');
    const theirs = JSON.parse(await ok(text, 'label', '--local', '-f', '-', 'a=b', '-o', 'json')) as object;
    const [ours] = parseDocuments(text).documents.map(({ value }) => value as object);
    expect({ ...theirs, metadata: { name: 'a' } }).toEqual(ours);
  });

  it('creates, gets in every form, replaces, labels, patches, describes and deletes', async () => {
    expect(await ok(virtualService('a'), 'create', '--validate=false', '-f', '-')).toContain('/a created');
    expect(await kubectl(virtualService('a'), 'create', '--validate=false', '-f', '-')).toMatchObject({
      code: 1,
      error: expect.stringContaining('"a" already exists'),
    });
    expect(await ok('', 'get', 'vs')).toMatch(/^NAME +GATEWAYS +HOSTS +AGE +CONDITION\na +\["reviews"\] +\d+s *\n$/);
    expect(await ok('', 'get', 'virtualservices.networking.istio.io', 'a', '-o', 'yaml')).toContain('- reviews\n');
    expect(await ok('', 'get', 'vs', '-A')).toMatch(/^NAMESPACE +NAME.*\ndefault +a /);
    expect(await ok('', 'get', 'vs', '-l', 'team=shop', '-o', 'name')).toBe('virtualservice.networking.istio.io/a\n');
    expect(await ok('', 'get', 'vs', '-l', 'team!=shop', '-o', 'name')).toBe('');
    expect(await ok(virtualService('a', 'b'), 'replace', '--validate=false', '-f', '-')).toContain('/a replaced');
    await ok('', 'label', 'vs', 'a', 'tier=front');
    await ok('', 'annotate', 'vs', 'a', 'note=x');
    await ok('', 'patch', 'vs', 'a', '--type', 'merge', '-p', '{"spec":{"hosts":["c"]}}');
    await ok('', 'patch', 'vs', 'a', '--type', 'json', '-p', '[{"op":"add","path":"/spec/hosts/-","value":"d"}]');
    expect(await ok('', 'get', 'vs', 'a', '-o', 'jsonpath={.spec.hosts}{.metadata.labels.tier}')).toBe(
      '["c","d"]front',
    );
    expect(await ok('', 'describe', 'vs', 'a')).toMatch(/^Name: +a\n[\s\S]*Hosts:\n +c\n +d\n/m);
    expect(await ok('', 'delete', 'vs', 'a')).toContain('"a" deleted');
    expect(await kubectl('', 'get', 'vs', 'a')).toMatchObject({ code: 1, error: expect.stringContaining('not found') });
  });

  it('applies: creates, changes, leaves alone', async () => {
    const apply = (host: string) => ok(virtualService('applied', host), 'apply', '--validate=false', '-f', '-');
    expect(await apply('a')).toContain('created');
    expect(await apply('b')).toContain('configured');
    expect(await apply('b')).toContain('unchanged');
    expect(await ok(virtualService('applied'), 'delete', '-f', '-')).toContain('deleted');
  });

  it.skipIf(!knowsV3)('validates and explains from OpenAPI v3', async () => {
    expect(await ok(virtualService('checked'), 'apply', '-f', '-')).toContain('created');
    const refused = await kubectl(virtualService('checked', 'b', { nonsense: 1 }), 'apply', '-f', '-');
    expect(refused).toMatchObject({ code: 1, error: expect.stringContaining('nonsense') });
    expect(await ok('', 'explain', 'vs.spec.http')).toContain('FIELD: http');
    await ok('', 'delete', 'vs', 'checked');
  });

  it('makes the core kinds it has commands for', async () => {
    expect(await ok('', 'create', 'namespace', 'shop')).toContain('namespace/shop created');
    const inShop = (...args: string[]) => ok('', ...args, '-n', 'shop');
    expect(await inShop('create', 'configmap', 'c', '--from-literal=a=b')).toContain('configmap/c created');
    expect(await inShop('create', 'secret', 'generic', 's', '--from-literal=a=b')).toContain('secret/s created');
    expect(await inShop('create', 'serviceaccount', 'bot')).toContain('serviceaccount/bot created');
    expect(await inShop('get', 'cm', 'c', '-o', 'jsonpath={.data.a}')).toBe('b');
    expect(await inShop('get', 'secret', 's', '-o', 'jsonpath={.data.a}')).toBe('Yg==');
    expect(await inShop('get', 'sa', '-o', 'name')).toBe('serviceaccount/bot\n');
    expect(await ok('', 'get', 'ns', 'shop')).toMatch(/shop +Active +\d+s/);
    await ok('', 'delete', 'ns', 'shop');
    expect(await inShop('get', 'cm', '-o', 'name')).toBe('');
  });

  it('tells what there is', async () => {
    expect(await ok('', 'api-versions')).toMatch(/^networking\.istio\.io\/v1$/m);
    expect(await ok('', 'api-resources')).toMatch(
      /^virtualservices +vs +networking\.istio\.io\/v1 +true +VirtualService$/m,
    );
    expect(await ok('', 'version')).toContain('tulle');
    expect(await kubectl('', 'get', 'pods')).toMatchObject({
      code: 1,
      error: expect.stringContaining('the server doesn\'t have a resource type "pods"'),
    });
  });

  it('watches', async () => {
    const command = [kubectlBinary!, ...flags, 'get', 'cm', '-w', '-o', 'name'];
    const watch = new Program('watch', command, { env: { KUBECONFIG: config } });
    try {
      for (const name of ['one', 'two']) {
        await ok('', 'create', 'configmap', name);
        const line = `configmap/${name}`;
        await watch.line((seen) => (seen === line ? seen : undefined));
      }
    } finally {
      await watch.stop();
    }
  });
});
