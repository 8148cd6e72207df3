import { expect, it } from 'vitest';
import { memoryPair } from '../http/testing/memory-network.ts';
import type { Connection, ConnectionHandler, TlsInfo } from '../runtime/runtime.ts';
import { GatewayTunnel } from './gateway-tunnel.ts';
import { readClient, readTarget, readWorkloads, writeWorkloads } from './protocol.ts';
import { ServedTunnel } from './served-tunnel.ts';
import { tunnelOptions } from './tunnel-options.ts';
import { TunnelRegistry } from './tunnel-registry.ts';
import { gatewayCounts } from './tunnel-stats.ts';

const MIB = 1024 * 1024;
const IDENTITY = 'spiffe://cluster.local/ns/default/sa/web';
const LIMITS = { tunnels: 2, tunnelsPerWorkload: 1, streamsPerTunnel: 10 };
const TARGET = { address: '10.0.0.1', port: 80, tunnel: { workload: '/default/10.0.0.1', identities: [IDENTITY] } };
const IDLE: ConnectionHandler = { onData() {}, onDrain() {}, onEnd() {}, onClose() {} };
const options = () => tunnelOptions(() => 0);
const turns = async (count = 20) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** A gateway that knows one workload, and whom it lets in. */
function gateway(known: Record<string, readonly string[]> = { '/default/10.0.0.1': [IDENTITY] }) {
  const lines: string[] = [];
  const found = new Map<string, { value: number }>();
  const count = (name: string) => found.get(name) ?? found.set(name, { value: 0 }).get(name)!;
  const registry = new TunnelRegistry(
    { monotonicMs: () => 0, now: () => 0, random: () => 0 },
    { identitiesOf: (workload) => known[workload] },
    () => gatewayCounts({ counter: count, gauge: count }),
    (line) => lines.push(line),
  );
  return { registry, known, value: (name: string) => count(name).value };
}

/** A workload that has dialled the gateway. @param accepted takes the connections that come by its tunnel */
function dialled(
  registry: TunnelRegistry,
  accepted: (connection: Connection) => void = () => {},
  identity = IDENTITY,
): { tunnel: ServedTunnel; events: string[] } {
  const [near, far] = memoryPair();
  const events: string[] = [];
  const tunnel = new ServedTunnel(near, options(), {
    workloads: () => ['/default/10.0.0.1'],
    inbound: ({ port }) => (port === 80 ? accepted : undefined),
    onReady: () => void events.push('ready'),
    onLeaving: () => void events.push('leaving'),
    onClosed: () => void events.push('closed'),
    onInternalError: (error) => void events.push(String(error)),
  });
  const tls = { peerUris: [identity] } as unknown as TlsInfo;
  registry.accept(Object.assign(far, { tls }) as Connection, LIMITS);
  return { tunnel, events };
}

function opened(registry: TunnelRegistry, handler: ConnectionHandler = IDLE, to = TARGET): Promise<Connection> {
  return new Promise((resolve, reject) => {
    registry.connect(to, { ...IDLE, onClose: (error) => reject(error ?? new Error('closed')) }, (connection) => {
      connection.handler = handler;
      resolve(connection);
    });
  });
}

it('carries a connection, with the address of its client', async () => {
  const { registry } = gateway();
  let server: Connection | undefined;
  const { events } = dialled(registry, (connection) => {
    server = connection;
    connection.handler = { ...IDLE, onData: (bytes) => void connection.write(bytes), onEnd: () => connection.end() };
  });
  await turns();
  expect(events).toEqual(['ready']);
  let text = '';
  let ended = false;
  const client = { remoteAddress: '10.9.9.9', remotePort: 4242, localAddress: '10.9.9.1', localPort: 15443 };
  const connection = await opened(
    registry,
    { ...IDLE, onData: (bytes) => void (text += new TextDecoder().decode(bytes)), onEnd: () => void (ended = true) },
    { ...TARGET, tunnel: { ...TARGET.tunnel, client } as never },
  );
  // A handshake of TLS begins so; anything else would be plaintext that the gateway could have made up.
  connection.writeLatin1('\x16hello');
  connection.end();
  await turns();
  expect({ text, ended }).toEqual({ text: '\x16hello', ended: true });
  expect(server).toMatchObject({
    remoteAddress: '10.9.9.9',
    remotePort: 4242,
    localAddress: '10.0.0.1',
    localPort: 80,
  });
});

it('delivers what is queued when both sides have ended, however slowly it is read', async () => {
  const { registry } = gateway();
  let server: Connection | undefined;
  dialled(registry, (connection) => {
    server = connection;
    connection.handler = IDLE;
  });
  await turns();
  let received = 0;
  let closed: Error | 'in order' | undefined;
  const reader: ConnectionHandler = {
    ...IDLE,
    onData(bytes) {
      received += bytes.length;
      connection.pause();
      setImmediate(() => connection.resume());
    },
    onClose: (error) => void (closed = error ?? 'in order'),
  };
  const connection = await opened(registry, reader);
  connection.writeLatin1('\x16');
  connection.end();
  await turns();
  for (let sent = 0; sent < MIB; sent += 65536) server!.write(new Uint8Array(65536));
  server!.end();
  // As a TLS socket above does once it is finished.
  server!.destroy();
  while (closed === undefined) await turns(1);
  expect({ received, closed }).toEqual({ received: MIB, closed: 'in order' });
});

it('serves no plaintext, and no port without a listener', async () => {
  const { registry } = gateway();
  let got = 0;
  dialled(registry, (connection) => {
    connection.handler = { ...IDLE, onData: (bytes) => void (got += bytes.length) };
  });
  await turns();
  let error: Error | undefined;
  const connection = await opened(registry, { ...IDLE, onClose: (reason) => void (error = reason) });
  connection.writeLatin1('GET / HTTP/1.1\r\n\r\n');
  await turns();
  expect({ got, error: error?.message }).toEqual({ got: 0, error: 'http2.remote_reset' });
  await expect(opened(registry, IDLE, { ...TARGET, port: 81 })).rejects.toThrow('the workload answered 503');
});

it('takes a tunnel for the workload that its certificate may be, and for no other', async () => {
  const { registry } = gateway();
  const { events } = dialled(registry, () => {}, 'spiffe://cluster.local/ns/default/sa/other');
  await turns();
  await expect(opened(registry)).rejects.toThrow('no tunnel of the workload /default/10.0.0.1');
  expect(registry.states()).toMatchObject([{ leaving: true, identity: 'spiffe://cluster.local/ns/default/sa/other' }]);
  expect(events).toEqual(['ready']);
});

it('lets a tunnel in once its workload becomes known, and gives it up when it is not any more', async () => {
  const { registry, known, value } = gateway({});
  const { events } = dialled(registry, (connection) => void (connection.handler = IDLE));
  await turns();
  await expect(opened(registry)).rejects.toThrow('no tunnel');
  known['/default/10.0.0.1'] = [IDENTITY];
  registry.recheck();
  await opened(registry);
  delete known['/default/10.0.0.1'];
  registry.recheck();
  await turns();
  expect(events).toContain('leaving');
  await expect(opened(registry)).rejects.toThrow('no tunnel');
  expect(value('no_tunnel')).toBe(2);
});

it('gives the oldest tunnel of a workload up above the limit, and refuses further ones above that of all', async () => {
  const { registry, value } = gateway();
  const first = dialled(registry);
  await turns();
  const second = dialled(registry);
  await turns();
  expect(first.events).toEqual(['ready', 'leaving', 'closed']);
  expect(second.events).toEqual(['ready']);
  dialled(registry);
  dialled(registry);
  await turns();
  expect(value('refused')).toBeGreaterThan(0);
});

it('refuses further tunnels of an identity of which many serve no known workload', async () => {
  const { registry, value } = gateway();
  const other = { peerUris: ['spiffe://cluster.local/ns/evil/sa/evil'] } as unknown as TlsInfo;
  const limits = { ...LIMITS, tunnels: 100 };
  for (let n = 0; n < 70; n++) {
    const [, far] = memoryPair();
    registry.accept(Object.assign(far, { tls: other }) as Connection, limits);
  }
  expect(value('refused')).toBe(6);
  const [, honest] = memoryPair();
  const tls = { peerUris: [IDENTITY] } as unknown as TlsInfo;
  expect(registry.accept(Object.assign(honest, { tls }) as Connection, limits)).toBeDefined();
});

it('a connection that is open outlives the GOAWAY of its gateway', async () => {
  const { registry } = gateway();
  const { events } = dialled(registry, (connection) => {
    connection.handler = { ...IDLE, onData: (bytes) => void connection.write(bytes), onEnd: () => connection.end() };
  });
  await turns();
  let received = 0;
  const connection = await opened(registry, { ...IDLE, onData: (bytes) => void (received += bytes.length) });
  connection.writeLatin1('\x16');
  await turns();
  registry['open'].keys().next().value!.leave();
  await turns();
  expect(events).toEqual(['ready', 'leaving']);
  connection.writeLatin1('more');
  await turns();
  expect(received).toBe(5);
  connection.end();
  await turns();
  expect(events).toEqual(['ready', 'leaving', 'closed']);
});

it('what both sides say is read strictly', () => {
  expect(readWorkloads(writeWorkloads(['a/b/10.0.0.1', 'net, work//fd00::1']))).toEqual([
    'a/b/10.0.0.1',
    'net, work//fd00::1',
  ]);
  for (const text of ['', ',', 'a,,b', '%zz', 'x'.repeat(20_000)]) expect(readWorkloads(text), text).toBeUndefined();
  expect(readTarget('[fd00::1]:80')).toEqual({ address: 'fd00::1', port: 80 });
  for (const text of ['host:80', '10.0.0.1', '10.0.0.1:0', '10.0.0.1:65536', '10.0.0.1:80:80'])
    expect(readTarget(text), text).toBeUndefined();
  expect(readClient('10.0.0.1 80')).toEqual({ address: '10.0.0.1', port: 80 });
  for (const text of ['10.0.0.1', 'host 80', '10.0.0.1 80 80', '10.0.0.1 65536'])
    expect(readClient(text), text).toBeUndefined();
  expect(new GatewayTunnel(memoryPair()[0], options(), { onHello() {}, onClosed() {} }, 0).takesStreams).toBe(true);
});
