/** HTTP/1.1 and TCP health checks beside a real Envoy: the same servers, the same health and the same statistics. */
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../../kit/environment.ts';
import { ENVOY, startEnvoy } from '../../kit/envoy.ts';
import { type RunningProxy, startTulle } from '../../kit/proxy.ts';
import { until } from '../../kit/waiting.ts';
import { at } from '../harness/bootstrap-parts.ts';
import { staticCluster } from '../shared-file/bootstrap.ts';
import { checkCounts, checkOutcome, checkRules } from './health-outcome.ts';

const reply = (status: string, more = '') => `HTTP/1.1 ${status}\r\n${more}content-length: 2\r\n\r\nok`;
const GOOD = reply('200 OK');
const http = (more: object = {}) => ({ http_health_check: { path: '/healthz', ...more } });
const hex = (text: string) => ({ text: Buffer.from(text).toString('hex') });
const tcp = { tcp_health_check: { send: hex('ping\r\n\r\n'), receive: [hex('po'), hex('ng')] } };
const SHORT = { timeout: '0.4s' };

/** What a server answers at first, and then; '' is nothing, undefined the end of the connection, null of the server. */
type Subject = [name: string, check: object, first: string, then: string | undefined | null];
const SUBJECTS: Subject[] = [
  ['well', http(), GOOD, GOOD],
  ['other_status', http(), GOOD, reply('204 None').replace(/content-length.*/s, '\r\n')],
  ['expected', http({ expected_statuses: [{ start: 200, end: 300 }] }), GOOD, reply('299 Fine')],
  ['unavailable', http(), GOOD, reply('503 No')],
  ['retriable', http({ retriable_statuses: [{ start: 503, end: 504 }] }), GOOD, reply('503 No')],
  ['closing', http(), GOOD, reply('200 OK', 'connection: close\r\n')],
  ['not_reused', { ...http(), reuse_connection: false }, GOOD, reply('500 No')],
  ['degraded', http(), GOOD, reply('200 OK', 'x-envoy-degraded: 1\r\n')],
  ['better', http(), reply('200 OK', 'x-envoy-degraded: 1\r\n'), GOOD],
  ['interim', http(), GOOD, `HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\n${GOOD}`],
  ['chunked', http(), GOOD, 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'],
  ['no_http', http(), GOOD, 'what?\r\n\r\n'],
  ['cut', { ...http(), ...SHORT }, GOOD, 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nok'],
  ['hangs_up', http(), GOOD, undefined],
  ['silent', { ...http(), ...SHORT }, GOOD, ''],
  ['silent_at_once', { ...http(), ...SHORT, unhealthy_threshold: 1 }, GOOD, ''],
  ['stopped', http(), GOOD, null],
  ['stopped_at_once', { ...http(), unhealthy_threshold: 1 }, GOOD, null],
  ['tcp_well', tcp, 'pong', '+po+ng+'],
  ['tcp_other', { ...tcp, ...SHORT }, 'pong', 'ngpo'],
  ['tcp_hangs_up', tcp, 'pong', undefined],
  ['tcp_silent', { ...tcp, ...SHORT }, 'pong', ''],
  ['tcp_stopped', tcp, 'pong', null],
];

/** Answers whatever ends with an empty line. */
class RawServer {
  answer: string | undefined;
  port = 0;
  private readonly sockets = new Set<net.Socket>();
  private readonly server: net.Server;

  constructor(answer: string) {
    this.answer = answer;
    this.server = net.createServer((socket) => {
      this.sockets.add(socket);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('error', () => {});
      let asked = '';
      socket.on('data', (bytes) => {
        asked += bytes;
        if (!asked.endsWith('\r\n\r\n')) return;
        asked = '';
        if (this.answer === undefined) socket.destroy();
        else socket.write(this.answer);
        if (this.answer?.includes('connection: close')) socket.end();
      });
    });
  }

  async start(address: string): Promise<this> {
    await new Promise<void>((done) => this.server.listen(0, address, done));
    this.port = (this.server.address() as net.AddressInfo).port;
    return this;
  }

  async stop(): Promise<void> {
    const closed = new Promise<void>((done) => this.server.close(() => done()));
    for (const socket of this.sockets) socket.destroy();
    await closed;
  }
}

describe.skipIf(!ENVOY)('health checks beside Envoy', () => {
  const folder = temporaryFolder();
  const proxies: RunningProxy[] = [];
  const servers = new Map<string, RawServer>();

  beforeAll(async () => {
    const clusters: object[] = [];
    for (const [name, check, first, then] of SUBJECTS) {
      // Of its own where the server is stopped while it is asked: another test's server might get the port.
      const address = then === null ? '127.0.0.43' : '127.0.0.1';
      const server = await new RawServer(first).start(address);
      servers.set(name, server);
      const endpoint = { address: { socket_address: { address, port_value: server.port } } };
      const load_assignment = { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint }] }] };
      clusters.push(staticCluster(name, undefined, { load_assignment, ...checkRules(check) }));
    }
    const bootstrap = {
      node: { id: 'health', cluster: 'health' },
      admin: { address: at(0) },
      static_resources: { listeners: [], clusters },
    };
    proxies.push(await startEnvoy(bootstrap, folder.path));
    for (const runtime of RUNTIMES) proxies.push(await startTulle(runtime, bootstrap, folder.path));
    for (const [name] of SUBJECTS)
      for (const proxy of proxies)
        await until(`${proxy.name}: ${name} is healthy`, async () => (await checkCounts(proxy, name)).healthy === 1);
    for (const [name, , , then] of SUBJECTS) {
      if (then === null) await servers.get(name)!.stop();
      else servers.get(name)!.answer = then;
    }
  });
  afterAll(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await Promise.all(SUBJECTS.filter(([, , , then]) => then !== null).map(([name]) => servers.get(name)!.stop()));
    folder.dispose();
  });

  it.each(SUBJECTS.map(([name]) => name))('%s', async (name) => {
    const [envoy, ...ours] = await Promise.all(proxies.map((proxy) => checkOutcome(proxy, name)));
    // Envoy never stops counting a host that is no longer degraded.
    const wanted = name === 'better' ? { ...envoy!, degraded: 0 } : envoy;
    for (const [i, one] of ours.entries()) expect(one, proxies[i + 1]!.name).toEqual(wanted);
  });
});
