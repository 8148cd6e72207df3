/** `tulle control --store`: resources in a real etcd outlive the process, and are those of every control plane of the prefix. */
import { request } from 'node:https';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runtimeCommand } from '../../control/cli/runtimes.mjs';
import { refusal, tulle } from '../kit/command.ts';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { type EtcdCluster, etcdPrograms, startEtcd } from '../kit/etcd.ts';
import { Program } from '../kit/process.ts';
import { until } from '../kit/waiting.ts';

const folder = temporaryFolder();

interface Announced {
  url: string;
  trustBundle: string;
  adminToken?: string;
}

describe('--store', () => {
  it.each([
    [['--store', 'etcd://user:secret@127.0.0.1:1'], '--store: must not hold a user or a password'],
    [['--store', 'redis://127.0.0.1:1'], '--store: must be etcd://host:port[,host:port…][/prefix]'],
    [['--etcd-cacert', 'x.pem'], '--etcd-cacert: needs --store'],
    [['--store', 'etcd://127.0.0.1:1', '--etcd-user', 'a:b'], '--etcd-user: must be the name alone'],
    [['--store', 'etcd://127.0.0.1:1', '--etcd-user', 'a'], '--etcd-user a: needs --etcd-password-file'],
    [['--store', 'etcd://127.0.0.1:1', '--etcd-cert', '/dev/null'], '--etcd-cert and --etcd-key: need each other'],
    [['--store', 'etcd://127.0.0.1:1'], 'the store failed: etcd http://127.0.0.1:1: '],
  ])('refuses %s', async (flags, why) => {
    const ran = await tulle(['control', '--data', join(folder.path, 'refused'), '--port', '0', ...flags]);
    expect(refusal(ran)).toContain(why);
  });
});

describe.skipIf(!etcdPrograms)('control plane on etcd', () => {
  let cluster: EtcdCluster;
  beforeAll(async () => {
    cluster = await startEtcd(folder.path);
  });
  afterAll(async () => {
    await cluster?.stop();
    folder.dispose();
  });

  // At once: most of the time they wait for leases to end.
  it.concurrent.each(RUNTIMES)(
    'keeps what was acknowledged when it is killed, as others have it (%s)',
    async (runtime) => {
      const store = `etcd://${cluster.endpoints.map((url) => url.slice('http://'.length)).join(',')}/${runtime}`;
      const words = (data: string) => [
        ...runtimeCommand(runtime, join(ROOT, 'control/cli/main.ts')),
        ...[
          'control',
          '--port',
          '0',
          '--announce',
          '--store',
          store,
          '--data',
          join(folder.path, `${runtime}-${data}`),
        ],
      ];
      const first = new Program('first', words('a'));
      const announced = await first.announcement<Announced>();
      const { adminToken } = announced;
      const created = await call(announced, adminToken, 'POST', { metadata: { name: 'kept' } });
      expect(created).toMatchObject({ status: 201, body: { metadata: { resourceVersion: expect.any(String) } } });

      const second = new Program('second', words('b'));
      const other = await second.announcement<Announced>();
      expect(other.adminToken).toBeUndefined();
      const changed = await call(other, adminToken, 'POST', { metadata: { name: 'of-the-second' } });
      expect(changed.status).toBe(201);

      await first.stop('SIGKILL');
      const again = new Program('again', words('a'));
      const back = await again.announcement<Announced>();
      const list = await call(back, adminToken, 'GET');
      const named = (item: { metadata: { name: string } }) => item.metadata.name === 'kept';
      expect((list.body['items'] as (typeof created.body)[]).find(named as never)?.['metadata']).toEqual(
        created.body['metadata'],
      );
      expect((list.body['items'] as unknown[]).length).toBe(
        ((await call(other, adminToken, 'GET')).body['items'] as unknown[]).length,
      );
      expect(await again.stop()).toBe(0);
      expect(await second.stop()).toBe(0);
    },
  );

  it('answers 503 with Retry-After while etcd has no majority, and continues afterwards', async () => {
    const store = `etcd://${cluster.endpoints.map((url) => url.slice('http://'.length)).join(',')}/outage`;
    const [program, ...args] = runtimeCommand('node', join(ROOT, 'control/cli/main.ts'));
    const flags = ['control', '--port', '0', '--announce', '--store', store, '--data', join(folder.path, 'outage')];
    const control = new Program('control', [program!, ...args, ...flags]);
    const announced = await control.announcement<Announced>();
    await Promise.all([cluster.members[0]!.kill(), cluster.members[1]!.kill()]);
    for (const [method, body] of [['GET'], ['POST', { metadata: { name: 'refused' } }]] as const) {
      const refused = await call(announced, announced.adminToken, method, body);
      expect(refused).toMatchObject({ status: 503, retryAfter: '1', body: { reason: 'ServiceUnavailable' } });
    }
    cluster.members[0]!.restart();
    cluster.members[1]!.restart();
    await until('writes are taken again', async () => {
      const { status } = await call(announced, announced.adminToken, 'POST', { metadata: { name: 'taken' } });
      return status === 201 || status === 409;
    });
    expect(await control.stop()).toBe(0);
  });
});

function call(
  { url, trustBundle }: Announced,
  token: string | undefined,
  method: string,
  body?: unknown,
): Promise<{ status: number; retryAfter: string | undefined; body: Record<string, unknown> }> {
  return new Promise((done, fail) => {
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const sent = request(
      `${url}/api/v1/namespaces`,
      { method, headers, ca: trustBundle, agent: false },
      async (response) => {
        let text = '';
        for await (const chunk of response.setEncoding('utf8')) text += chunk;
        const { statusCode: status = 0 } = response;
        done({ status, retryAfter: response.headers['retry-after'], body: JSON.parse(text) });
      },
    );
    sent.once('error', fail);
    sent.end(body ? JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', ...body }) : undefined);
  });
}
