/** A cluster or listener whose certificates or CA are missing never falls back to plaintext. */
import { request } from 'node:http';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { closeServers, listening } from '../kit/upstream.ts';
import { ANY, cluster, hcm, listener } from './bootstrap.ts';
import { DrivenProxy } from './driven.ts';

const TLS = 'envoy.extensions.transport_sockets.tls.v3';
const HANDSHAKE = 0x16;
const socket = (type: string, common: object) => ({
  name: 'tls',
  typed_config: { '@type': `${ANY}${TLS}.${type}`, common_tls_context: common },
});
const upstream = (common: object) => socket('UpstreamTlsContext', common);
const absent = { name: 'absent' };

/** The TLS of a cluster; what makes the whole change be refused is said by `refused`. */
const CASES: readonly { name: string; common: object; secrets?: object[]; refused?: true }[] = [
  {
    name: 'a CA file that does not exist',
    common: { validation_context: { trusted_ca: { filename: '/nonexistent/ca.pem' } } },
    refused: true,
  },
  { name: 'a CA secret that never comes', common: { validation_context_sds_secret_config: absent } },
  {
    name: 'a CA secret behind rules for names that never comes',
    common: {
      combined_validation_context: {
        default_validation_context: { match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'a' } }] },
        validation_context_sds_secret_config: absent,
      },
    },
  },
  {
    name: 'a CA secret that is no certificate',
    common: { validation_context_sds_secret_config: { name: 'broken' } },
    secrets: [{ name: 'broken', validation_context: { trusted_ca: { inline_string: 'no certificate' } } }],
    refused: true,
  },
  {
    name: 'a client certificate that never comes',
    common: { tls_certificate_sds_secret_configs: [absent] },
  },
];

function ask(port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { port, host: '127.0.0.1', agent: false, headers: { authorization: 'secret' } },
      (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      },
    );
    sent.on('error', reject).end();
  });
}

describe.each(RUNTIMES)('missing certificates on %s', (runtime) => {
  const received: Buffer[] = [];
  const server = net.createServer((connection) => {
    connection.on('data', (bytes) => received.push(bytes)).on('error', () => {});
  });
  let proxy: DrivenProxy;
  let port: number;
  beforeAll(async () => {
    port = await listening(server);
    proxy = new DrivenProxy(runtime, 1000);
  });
  afterAll(async () => {
    closeServers(server);
    await proxy.stop();
  });

  it.each(CASES)('$name: no byte of the request leaves', async ({ common, secrets = [], refused }) => {
    received.length = 0;
    const { violations } = await proxy.state({
      secrets: { upsert: secrets, remove: [] },
      clusters: { upsert: [cluster('b', port, upstream(common))], remove: [] },
    });
    const { ports } = await proxy.state({ listeners: { upsert: [listener('out', [hcm('b')])], remove: [] } });
    expect(violations.length > 0).toBe(refused === true);
    expect(await ask(ports['out']!)).toBe(503);
    // A handshake may begin; what is not one would be plaintext.
    expect(received.filter((bytes) => bytes[0] !== HANDSHAKE)).toEqual([]);
    await proxy.state({
      listeners: { upsert: [], remove: ['out'] },
      clusters: { upsert: [], remove: ['b'] },
      secrets: { upsert: [], remove: ['broken'] },
    });
  });

  it('a listener whose certificate never comes serves no request', async () => {
    const context = socket('DownstreamTlsContext', { tls_certificate_sds_secret_configs: [absent] });
    const { ports } = await proxy.state({
      clusters: { upsert: [cluster('plain', port)], remove: [] },
      listeners: { upsert: [listener('in', [hcm('plain')], context)], remove: [] },
    });
    received.length = 0;
    await expect(ask(ports['in']!)).rejects.toThrow();
    expect(received).toEqual([]);
  });
});
