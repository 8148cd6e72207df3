/** Events as kubectl shows them: those of others, and the control plane's own. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { kubectlBinary, tulle } from '../../kit/command.ts';
import { LoopbackMesh } from '../../kit/mesh.ts';
import { run } from '../../kit/process.ts';

if (!kubectlBinary) console.warn('skipped: kubectl is not on the PATH');

const edge = {
  apiVersion: 'networking.istio.io/v1',
  kind: 'Gateway',
  metadata: { name: 'edge', namespace: 'shop' },
  spec: {
    selector: { app: 'edge' },
    servers: [{ port: { number: 80, name: 'http', protocol: 'HTTP', targetPort: 8080 }, hosts: ['*'] }],
  },
};

describe.skipIf(!kubectlBinary)('events with kubectl', () => {
  const mesh = new LoopbackMesh();
  const kubeconfig = join(mesh.folder, 'admin.kubeconfig');
  const kubectl = (input: string, ...args: string[]) =>
    run(kubectlBinary!, ['--cache-dir', join(mesh.folder, 'cache'), '--kubeconfig', kubeconfig, ...args], { input });
  const ok = async (input: string, ...args: string[]): Promise<string> => {
    const { code, out, error } = await kubectl(input, ...args);
    expect([code, error], args.join(' ')).toEqual([0, expect.any(String)]);
    return out;
  };
  const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 20_000, interval: 200 });

  beforeAll(async () => {
    await mesh.startControl({ flags: ['--event-ttl', '15s'] });
    const given = ['--server', mesh.url, '--token', mesh.adminToken, '--ca-file', mesh.trustBundleFile];
    writeFileSync(kubeconfig, (await tulle(['kubeconfig', ...given])).out, { mode: 0o600 });
    await ok('', 'create', 'namespace', 'shop');
  }, 120_000);
  afterAll(() => mesh.stop(), 120_000);

  it('shows events of the control plane where kubectl looks for them, and forgets them', async () => {
    await ok(JSON.stringify(edge), 'create', '--validate=false', '-f', '-');
    await eventually(async () =>
      expect(await ok('', '-n', 'shop', 'get', 'events')).toMatch(
        /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n\d+s +Warning +FieldWithoutEffect +gateway\/edge +spec\.servers\[0\]\.port\.targetPort/,
      ),
    );
    expect(await ok('', '-n', 'shop', 'get', 'events', '-o', 'wide')).toMatch(/tulle, \S+ .* 1 +edge\.[0-9a-f]+\n/);
    expect(await ok('', '-n', 'shop', 'events', '--for', 'gateway/edge', '--types=Warning')).toMatch(
      /FieldWithoutEffect +Gateway\/edge/,
    );
    expect(await ok('', '-n', 'shop', 'describe', 'gateway', 'edge')).toMatch(
      /Events:\n +Type +Reason +Age +From +Message\n[ -]+\n +Warning +FieldWithoutEffect +\d+s +tulle /,
    );
    const selector = ['--field-selector', 'involvedObject.kind=Gateway,reason=FieldWithoutEffect'];
    expect(await ok('', '-n', 'shop', 'get', 'ev', ...selector, '-o', 'name')).toMatch(/^event\/edge\./);
    const newer = 'events.v1.events.k8s.io';
    expect(await ok('', '-n', 'shop', 'get', newer, '--field-selector', 'regarding.name=edge')).toMatch(
      /gateway\/edge/,
    );
    await eventually(async () =>
      expect(await ok('', '-n', 'shop', 'get', 'events', ...selector, '-o', 'name')).toBe(''),
    );
  }, 120_000);

  it('takes events of others', async () => {
    const event = {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'edge.1', namespace: 'shop' },
      eventTime: new Date().toISOString().replace('Z', '000Z'),
      reportingController: 'example.com/operator',
      reportingInstance: 'operator-0',
      action: 'Sync',
      reason: 'Synced',
      regarding: { kind: 'Gateway', namespace: 'shop', name: 'edge' },
      note: 'in place',
      type: 'Normal',
    };
    await ok(JSON.stringify(event), 'apply', '--validate=false', '-f', '-');
    expect(await ok('', '-n', 'shop', 'get', 'events')).toMatch(/Synced +gateway\/edge +in place/);
    await ok('', '-n', 'shop', 'patch', 'event', 'edge.1', '-p', '{"message":"in its place"}');
    expect(await ok('', '-n', 'shop', 'events')).toContain('in its place');
    await ok('', '-n', 'shop', 'delete', 'events', '--all');
    expect(await ok('', '-n', 'shop', 'get', 'events', '-o', 'name')).toBe('');
  });
});
