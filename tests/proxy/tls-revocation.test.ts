/** A revocation list that changes while a proxy serves: the next handshake meets it, resumed sessions too. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { ProxyProcess } from '../kit/proxy.ts';
import { until } from '../kit/waiting.ts';
import { type Authority, type Leaf, leaf, pem, rootAuthority, serverLeaf } from '../mtls/certificates.ts';
import { revocationList } from '../mtls/revocation-lists.ts';
import { ANY, at, cluster, hcm, listener } from './bootstrap.ts';

const inline = (text: string) => ({ inline_string: text });
const SECURE = `${ANY}envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext`;

interface Visit {
  readonly letIn: boolean;
  readonly resumed: boolean;
  readonly session: Buffer | undefined;
}

describe.each(RUNTIMES)('a revocation list that changes, on %s', (runtime) => {
  const folder = temporaryFolder();
  const file = join(folder.path, 'crl.pem');
  let root: Authority;
  let friend: Leaf;
  let other: Leaf;
  let proxy: ProxyProcess;

  const visit = (name: string, { cert, key }: Leaf, options: tls.ConnectionOptions): Promise<Visit> =>
    new Promise((resolve) => {
      let session: Buffer | undefined;
      let got = '';
      const socket = tls.connect({
        ...{ host: '127.0.0.1', port: proxy.ports[name]!, rejectUnauthorized: false, cert, key },
        ...options,
      });
      socket.on('session', (one) => (session = one));
      socket.on('secureConnect', () => socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n'));
      socket.on('data', (bytes) => (got += bytes));
      socket.on('error', () => {});
      socket.on('close', () => resolve({ letIn: got !== '', resumed: socket.isSessionReused() ?? false, session }));
    });

  beforeAll(async () => {
    root = await rootAuthority('root');
    [friend, other] = [await leaf(root, { uri: 'spiffe://a/friend' }), await leaf(root, { uri: 'spiffe://a/other' })];
    const own = await serverLeaf('P-256', ['server.test']);
    writeFileSync(file, revocationList(root));
    const secure = (name: string, crl: object) =>
      listener(name, [hcm('nowhere')], {
        name: 'tls',
        typed_config: {
          '@type': SECURE,
          common_tls_context: {
            tls_certificates: [{ certificate_chain: inline(own.cert), private_key: inline(own.key) }],
            validation_context: { trusted_ca: inline(pem(root)), crl },
          },
          require_client_certificate: true,
        },
      });
    proxy = new ProxyProcess(runtime, join(folder.path, 'proxy.json'), {
      static_resources: {
        listeners: [secure('watched', { filename: file }), secure('fixed', inline(revocationList(root)))],
        clusters: [cluster('nowhere', 1)],
      },
      admin: { address: at(0) },
    });
    await proxy.ready();
  });
  afterAll(async () => {
    await proxy?.stop('SIGKILL');
    folder.dispose();
  });

  it('refuses whom the next one names, with an old session as well', async () => {
    const versions = [{ maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }] as const;
    const before = await Promise.all(versions.map((options) => visit('watched', friend, options)));
    expect(before.map(({ letIn }) => letIn)).toEqual([true, true]);
    writeFileSync(file, revocationList(root, { revoked: [friend.cert] }));
    await until('the new list holds', async () => !(await visit('watched', friend, {})).letIn);
    for (const [i, options] of versions.entries()) {
      const { session } = before[i]!;
      expect((await visit('watched', friend, { ...options, ...(session && { session }) })).letIn).toBe(false);
      expect((await visit('watched', other, options)).letIn).toBe(true);
      // Another context has its own list.
      expect((await visit('fixed', friend, options)).letIn).toBe(true);
    }
  });

  it('keeps the last list that could be read', async () => {
    writeFileSync(file, 'no list at all');
    await until('it is logged', () => /crl holds no revocation list/.exec(proxy.output));
    expect((await visit('watched', friend, {})).letIn).toBe(false);
    expect((await visit('watched', other, {})).letIn).toBe(true);
    writeFileSync(file, revocationList(root));
    await until('the next list holds', async () => (await visit('watched', friend, {})).letIn);
  });

  it('refuses a file whose list it cannot judge', async () => {
    const delta = { id: [0x55, 0x1d, 27], critical: true, value: [2, 1, 1] };
    const config = {
      static_resources: {
        listeners: [
          listener('l', [hcm('nowhere')], {
            name: 'tls',
            typed_config: {
              '@type': SECURE,
              common_tls_context: {
                tls_certificates: [{ certificate_chain: inline(friend.cert), private_key: inline(friend.key) }],
                validation_context: {
                  trusted_ca: inline(pem(root)),
                  crl: inline(revocationList(root, { extensions: [delta] })),
                },
              },
            },
          }),
        ],
        clusters: [cluster('nowhere', 1)],
      },
      admin: { address: at(0) },
    };
    const refused = new ProxyProcess(runtime, join(folder.path, 'refused.json'), config);
    expect(await refused.exited).toBe(1);
    expect(refused.output).toMatch(/delta revocation lists are not supported/);
  });
});
