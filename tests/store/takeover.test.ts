/** A control plane that replaces another one has what that one kept: an empty data folder and the same etcd are enough. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ControlApi } from '../../control/cli/connection.ts';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { parseCertificates } from '../../shared/identity/svid.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { type EtcdCluster, etcdPrograms, startEtcd } from '../kit/etcd.ts';
import { Program } from '../kit/process.ts';
import { newWorkload, Replica, replicaCommand } from './replica-process.ts';

const folder = temporaryFolder();
const tokenFor = (api: ControlApi, serviceAccount: string) =>
  api.request('POST', '/v1/join-tokens', { namespace: 'default', serviceAccount }).then(({ status, body }) => {
    expect(status).toBe(200);
    return (body as { token: string }).token;
  });

async function joined(api: ControlApi, token: string) {
  const { csr, privateKey } = await newWorkload('default', 'reviews');
  const { status, body } = await api.request('POST', '/v1/certificates', { csr, token });
  const { certificateChain = '', message } = body as { certificateChain?: string; message?: string };
  return { status, message, privateKey, certificateChain };
}

async function renewed(server: string, ca: string, own: { certificateChain: string; privateKey: string }) {
  const { csr, privateKey } = await newWorkload('default', 'reviews');
  const clientCertificate = { cert: own.certificateChain, key: own.privateKey };
  const api = new ControlApi(server, undefined, ca, { clientCertificate });
  const { status, body } = await api.request('POST', '/v1/certificates', { csr });
  const { certificateChain = '', message } = body as { certificateChain?: string; message?: string };
  return { status, message, privateKey, certificateChain };
}

describe.skipIf(!etcdPrograms)('a control plane with an empty data folder', () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await startEtcd(folder.path);
  });
  afterAll(async () => {
    await cluster?.stop();
    folder.dispose();
  });

  it.concurrent.each(RUNTIMES)(
    'has roots, joins, tokens, users and revocations of the one that was killed (%s)',
    async (runtime) => {
      const options = (data: string) => ({
        cluster,
        prefix: `takeover-${runtime}`,
        data: join(folder.path, `${runtime}-${data}`),
        runtime,
      });
      const first = await Replica.start(options('a'));
      const admin = first.api();
      const [used, open, revoked] = await Promise.all([1, 2, 3].map(() => tokenFor(admin, 'reviews')));
      const machine = await joined(admin, used!);
      expect(machine.status).toBe(200);
      const stolen = await joined(admin, revoked!);
      const serial = parseCertificates(stolen.certificateChain)[0]!.serialNumber.toLowerCase();
      const { body: held } = await admin.request('GET', '/v1/joins');
      const { id } = (held as { joins: { id: string; serial: string }[] }).joins.find((each) =>
        serial.endsWith(each.serial),
      )!;
      expect((await admin.request('POST', `/v1/joins/${id}/revoke`)).status).toBe(200);
      expect(
        (await admin.request('POST', '/v1/revocations', { namespace: 'default', serviceAccount: 'gone' })).status,
      ).toBe(200);
      const made = await admin.request('POST', '/v1/user-tokens', { user: 'jane', groups: ['view'] });
      expect(made.status).toBe(200);
      const { token: userToken } = made.body as { token: string };
      await first.kill();

      const second = await Replica.start({ ...options('b'), adminToken: first.adminToken });
      expect(second.ca).toBe(first.ca);
      const api = second.api();
      expect((await api.request('GET', '/v1/joins')).status).toBe(200);
      expect(await joined(api, used!)).toMatchObject({ status: 401, message: expect.stringContaining('already used') });
      expect((await joined(api, open!)).status).toBe(200);
      expect((await tokenRefused(api, 'gone')).message).toContain('was revoked');
      const next = await renewed(second.url, second.ca, machine);
      expect(next.status).toBe(200);
      // Signed by an intermediate of the second one, under the same root.
      const issuer = (chain: string) => parseCertificates(chain)[1]!.subject;
      expect(issuer(next.certificateChain)).not.toBe(issuer(machine.certificateChain));
      expect(await renewed(second.url, second.ca, stolen)).toMatchObject({
        status: 403,
        message: expect.stringContaining('was revoked'),
      });
      expect((await renewed(second.url, second.ca, next)).status).toBe(200);
      expect(await renewed(second.url, second.ca, machine)).toMatchObject({
        status: 403,
        message: expect.stringContaining('after a later one'),
      });
      const path = '/apis/networking.istio.io/v1/serviceentries';
      expect(await second.api(userToken).request('GET', path)).toMatchObject({
        status: 403,
        body: { message: expect.stringContaining('User "jane" cannot list') },
      });
      expect((await second.api(`${userToken}x`).request('GET', path)).status).toBe(401);
      await second.program.stop();
    },
    120_000,
  );

  it('takes over the records of a data folder that was used without etcd', async () => {
    const data = join(folder.path, 'alone');
    mkdirSync(data, { recursive: true });
    const words = ['control', '--port', '0', '--announce', '--data', data];
    const alone = new Program('alone', [...runtimeCommand('node', join(ROOT, 'control/cli/main.ts')), ...words] as [
      string,
    ]);
    const { url, trustBundle, adminToken } = await alone.announcement<Record<string, string>>();
    const api = new ControlApi(url!, adminToken, trustBundle);
    const [used, open] = [await tokenFor(api, 'reviews'), await tokenFor(api, 'reviews')];
    const machine = await joined(api, used);
    await alone.stop();

    const shared = { cluster, prefix: 'moved', data };
    const moved = await Replica.start({ ...shared, adminToken: adminToken! });
    expect(moved.ca).toBe(trustBundle);
    expect((await renewed(moved.url, moved.ca, machine)).status).toBe(200);
    expect((await joined(moved.api(), used)).status).toBe(401);
    expect((await joined(moved.api(), open)).status).toBe(200);
    await moved.program.stop();
    // Another trust domain is not mixed in.
    const other = new Program('other', replicaCommand({ ...shared, flags: ['--trust-domain', 'other.example'] }));
    expect(await other.exited).toBe(1);
    expect(other.output).toContain('the store is of trust domain "cluster.local", not "other.example"');
  }, 120_000);
});

async function tokenRefused(api: ControlApi, serviceAccount: string): Promise<{ message: string }> {
  const { status, body } = await api.request('POST', '/v1/join-tokens', { namespace: 'default', serviceAccount });
  expect(status).not.toBe(200);
  return body as { message: string };
}
