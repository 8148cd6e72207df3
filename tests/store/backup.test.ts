/** `tulle backup` of a running mesh and `tulle restore` of an older state: kubectl and a proxy with a later certificate follow. */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { get } from '../e2e/shop-mesh.ts';
import { kubectlBinary, refusal, tulle } from '../kit/command.ts';
import { LoopbackMesh, type Workload } from '../kit/mesh.ts';
import { freePorts } from '../kit/ports.ts';
import { Program, run } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const PASSPHRASE = 'correct horse battery staple';
const mesh = new LoopbackMesh();
const file = (name: string) => join(mesh.folder, name);
let env: Record<string, string>;
let gateway: Workload;
let port: number;

beforeAll(async () => {
  await mesh.startControl({ svidTtl: '30s' });
  env = {
    ...{ TULLE_SERVER: mesh.url, TULLE_TOKEN: mesh.adminToken, TULLE_CA_FILE: mesh.trustBundleFile },
    TULLE_BACKUP_PASSPHRASE: PASSPHRASE,
  };
  port = (await freePorts(1))[0]!;
  await mesh.apply(site('first'));
  const labels = { istio: 'web' };
  gateway = await mesh.start({ name: 'web', serviceAccount: 'web', labels, type: 'router', runtime: 'node' });
});
afterAll(() => mesh.stop());

const site = (body: string) => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: web }
spec:
  selector: { istio: web }
  servers: [{ port: { number: ${port}, name: http, protocol: HTTP }, hosts: ["*"] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: web }
spec:
  hosts: ["*"]
  gateways: [web]
  http: [{ directResponse: { status: 200, body: { string: ${body} } } }]
`;

const serves = (body: string) =>
  until(`the gateway serves ${body}`, async () => {
    const answer = await get({ host: gateway.address, port, path: '/' }).catch(() => undefined);
    return answer?.body === body;
  });
const serial = async () => {
  const { joins } = await mesh.api.call<{ joins: { serial: string; serviceAccount: string }[] }>('GET', '/v1/joins');
  return joins.find(({ serviceAccount }) => serviceAccount === 'web')?.serial;
};
const revisionOf = async (path: string) =>
  (await mesh.api.call<{ metadata: { resourceVersion: string } }>('GET', path)).metadata.resourceVersion;
const VIRTUAL_SERVICES = '/apis/networking.istio.io/v1/namespaces/default/virtualservices';
const restore = (name: string, ...flags: string[]) =>
  tulle(['restore', file(name), '--data', file('control'), ...flags], { env });

describe('backup and restore', () => {
  it('saves a running mesh, encrypted, readable by its owner only', async () => {
    await serves('first');
    const token = await mesh.joinToken('other');
    writeFileSync(file('token'), token);
    const saved = await tulle(['backup', file('a.backup')], { env });
    expect([saved.code, saved.error]).toEqual([0, '']);
    expect(statSync(file('a.backup')).mode & 0o777).toBe(0o600);
    expect(readFileSync(file('a.backup')).includes('PRIVATE KEY')).toBe(false);
    const weak = await tulle(['backup', file('b.backup')], { env: { ...env, TULLE_BACKUP_PASSPHRASE: 'short' } });
    expect(refusal(weak)).toContain('at least 12 characters');
    const foreign = await tulle(['backup', file('b.backup')], { env: { ...env, TULLE_TOKEN: 'x' } });
    expect(refusal(foreign, 2)).toContain('Unauthorized');
    expect(existsSync(file('b.backup'))).toBe(false);
  });

  it('refuses half files, other passphrases, folders in use and folders that hold something', async () => {
    const bytes = readFileSync(file('a.backup'));
    writeFileSync(file('half.backup'), bytes.subarray(0, bytes.length / 2));
    expect(refusal(await restore('half.backup', '--force'))).toMatch(/half\.backup: .*(cut off|was changed)/);
    expect(refusal(await restore('a.backup'))).toContain('is not empty');
    expect(refusal(await restore('a.backup', '--force'))).toContain('in use by another process');
    const other = await tulle(['restore', file('a.backup'), '--data', file('new')], {
      env: { ...env, TULLE_BACKUP_PASSPHRASE: 'another passphrase' },
    });
    expect(refusal(other)).toContain('the passphrase is another one');
    expect(existsSync(file('new'))).toBe(false);
  });

  it('brings an older state back: kubectl lists again, and a proxy with a later certificate follows and renews', async () => {
    const first = await serial();
    await mesh.apply(site('second'));
    await serves('second');
    const renewed = await until('the proxy has renewed', async () => {
      const now = await serial();
      return now !== first && now;
    });
    const seen = await revisionOf(VIRTUAL_SERVICES);
    const watch = kubectlBinary ? await watching() : undefined;

    await mesh.control.stop();
    const restored = await restore('a.backup', '--force');
    expect([restored.code, restored.out]).toEqual([0, expect.stringContaining('restored the backup of')]);
    expect(restored.error).toContain('1 unused join tokens are void');
    await mesh.startControl({ svidTtl: '30s' });

    await serves('first');
    expect(Number(await revisionOf(`${VIRTUAL_SERVICES}/web`))).toBeGreaterThan(Number(seen));
    const old = `${VIRTUAL_SERVICES}?watch=true&resourceVersion=${seen}&timeoutSeconds=20`;
    for await (const event of mesh.api.lines('GET', old)) {
      expect(event).toMatchObject({ type: 'ERROR', object: { code: 410, reason: 'Expired' } });
      break;
    }
    if (watch) {
      // A watch of kubectl ends with the control plane; what it had seen last is gone.
      await watch.exited;
      const raw = await run(kubectlBinary!, ['get', '--raw', old], { env: kube() });
      expect(raw.out + raw.error).toMatch(/"code":410/);
      const listed = await run(kubectlBinary!, ['get', 'virtualservice', 'web', '-o', 'yaml'], { env: kube() });
      expect(listed.out).toContain('string: first');
    }
    await until('the proxy renews its later certificate', async () => {
      const now = await serial();
      return now !== undefined && now > renewed;
    });
    const used = await mesh.api.request('POST', '/v1/jwt-svids', {
      audience: ['a'],
      token: readFileSync(file('token'), 'utf8'),
    });
    expect(used).toMatchObject({ status: 401, body: { message: expect.stringContaining('revoked') } });
  });

  it('restores into an empty folder, with the history', async () => {
    mkdirSync(file('empty'));
    const done = await tulle(['restore', file('a.backup'), '--data', file('empty')], { env });
    expect(done.code, done.error).toBe(0);
    expect(readFileSync(join(file('empty'), 'ca/root-cert.pem'))).toEqual(readFileSync(mesh.trustBundleFile));
    const cli = ['control', '--data', file('empty'), '--port', '0', '--announce'];
    const other = new Program('restored', [
      process.execPath,
      join(import.meta.dirname, '../../control/cli/bin.mjs'),
      ...cli,
    ]);
    const { url } = await other.announcement<{ url: string }>();
    const history = await tulle(['history', 'vs/web', '-o', 'json'], { env: { ...env, TULLE_SERVER: url } });
    expect(JSON.parse(history.out).revisions).toEqual([
      expect.objectContaining({ operation: 'Create', user: 'admin' }),
    ]);
    expect(await other.stop()).toBe(0);
    writeFileSync(join(file('empty'), '.restoring'), '');
    const refused = await tulle(cli, { env });
    expect(refusal(refused)).toContain('its restore has not ended');
  });
});

const kube = () => ({ KUBECONFIG: file('kubeconfig') });

/** `kubectl get --watch` that has shown the present state. */
async function watching(): Promise<Program> {
  const flags = ['--server', mesh.url, '--token', mesh.adminToken, '--ca-file', mesh.trustBundleFile];
  writeFileSync(file('kubeconfig'), (await tulle(['kubeconfig', ...flags])).out);
  const program = new Program('kubectl', [kubectlBinary!, 'get', 'virtualservices', '-w', '--output-watch-events'], {
    env: kube(),
  });
  await program.line((line) => (/ADDED +web/.test(line) ? line : undefined));
  return program;
}
