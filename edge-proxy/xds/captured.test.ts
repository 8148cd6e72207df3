import { expect, it } from 'vitest';
import { HTTP_FILTERS } from '../http/filters/index.ts';
import { Admission } from '../overload/admission.ts';
import { OverloadState } from '../overload/overload-state.ts';
import { currentRuntime } from '../runtime/index.ts';
import type { Connection, ListenOptions, Runtime } from '../runtime/runtime.ts';
import type { InheritedSockets } from '../settings/inherited-sockets.ts';
import { Stats } from '../telemetry/stats.ts';
import { Fetches } from '../upstream/fetches.ts';
import { type Compilers, RunningConfig } from './apply.ts';
import { filterRegistry } from './filter/filter-registry.ts';

const TCP_PROXY = 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy';
const ORIGINAL_DST = 'type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst';

/** A listener that sends to a cluster of its own name, which there is not: the connection's end says who served it. */
const listener = (name: string, address: string, portValue: number, more: object = {}) => {
  const typedConfig = { '@type': TCP_PROXY, statPrefix: name, cluster: name };
  return {
    name,
    address: { socketAddress: { address, portValue } },
    filterChains: [{ filters: [{ name: 'tcp', typedConfig }] }],
    ...more,
  };
};
const unbound = (name: string, address: string, port: number) => listener(name, address, port, { bindToPort: false });
const outbound = listener('virtualOutbound', '0.0.0.0', 15001, { useOriginalDst: true });
const inbound = listener('virtualInbound', '0.0.0.0', 15006, {
  listenerFilters: [{ name: 'original_dst', typedConfig: { '@type': ORIGINAL_DST } }],
});

function setup(sockets: InheritedSockets | undefined) {
  const compilers = {
    filters: filterRegistry(HTTP_FILTERS),
    httpProxy: () => undefined,
    connectionLog: () => undefined,
    connectionObservers: () => [],
  } as unknown as Compilers;
  const opened: { options: ListenOptions; take: (connection: Connection) => void }[] = [];
  const runtime = Object.assign(Object.create(currentRuntime()) as Runtime, {
    listen: async (options: ListenOptions, take: (connection: Connection) => void) => {
      opened.push({ options, take });
      return { address: options.address, port: options.port, close: async () => {} };
    },
  });
  const admission = new Admission(new Stats(), new OverloadState(() => 0), undefined, 1);
  const config = new RunningConfig(
    runtime,
    compilers,
    () => false,
    () => {},
    admission,
    new Fetches(runtime),
    sockets,
  );
  const apply = async (upsert: object[], remove: string[] = []) => [
    ...(await config.apply({ listeners: { upsert, remove } })),
  ];
  /** Who serves a connection that arrives at the socket of a port. */
  const servedBy = (port: number, localAddress: string, localPort: number) => {
    let served: string | undefined;
    const destroy = (error?: Error) => (served = /"(.+)"/.exec(error?.message ?? '')?.[1]);
    const ends = { remoteAddress: '10.0.0.9', remotePort: 4000, localAddress, localPort };
    const connection = { ...ends, handler: {}, tls: undefined, pause: () => {}, destroy } as unknown as Connection;
    opened.find(({ options }) => options.port === port)!.take(connection);
    return served;
  };
  return { apply, config, opened, servedBy };
}

const ALL = { outbound: 3, outbound6: 4, inbound: 5 };

it('captured connections go to the listener at their original destination, else to the one that accepts them', async () => {
  const { apply, opened, servedBy, config } = setup(ALL);
  const known = [unbound('web', '0.0.0.0', 80), unbound('db', '10.0.0.5', 3306), unbound('self', '0.0.0.0', 15001)];
  expect(await apply([...known, outbound, inbound])).toEqual([]);
  expect(opened.map(({ options: { port, descriptor } }) => [port, descriptor])).toEqual([
    [15001, 3],
    [15001, 4],
    [15006, 5],
  ]);
  expect(servedBy(15001, '10.0.0.1', 80)).toBe('web');
  expect(servedBy(15001, '2001:db8::1', 80)).toBe('web');
  expect(servedBy(15001, '10.0.0.5', 3306)).toBe('db');
  expect(servedBy(15001, '10.0.0.6', 3306)).toBe('virtualOutbound');
  // To the proxy's own port: it was not captured.
  expect(servedBy(15001, '10.0.0.1', 15001)).toBe('virtualOutbound');
  // Inbound connections are not handed over.
  expect(servedBy(15006, '10.0.0.1', 80)).toBe('virtualInbound');
  expect([...config.listeners].filter(([, { server }]) => server.bound).map(([name]) => name)).toEqual([
    'virtualOutbound',
    'virtualInbound',
  ]);
});

it('listeners for captured connections move, are replaced and removed', async () => {
  const { apply, servedBy } = setup(ALL);
  await apply([unbound('web', '0.0.0.0', 80), outbound]);
  expect(await apply([unbound('web', '0.0.0.0', 81)])).toEqual([]);
  expect([servedBy(15001, '10.0.0.1', 80), servedBy(15001, '10.0.0.1', 81)]).toEqual(['virtualOutbound', 'web']);
  expect(await apply([unbound('other', '0.0.0.0', 81)], ['web'])).toEqual([]);
  expect(servedBy(15001, '10.0.0.1', 81)).toBe('other');
  expect(await apply([unbound('third', '0.0.0.0', 81)])).toEqual([
    ['listeners/third', 'address: another listener has 0.0.0.0 and port 81'],
  ]);
  await apply([], ['other']);
  expect(servedBy(15001, '10.0.0.1', 81)).toBe('virtualOutbound');
});

it('without inherited sockets they are refused by name', async () => {
  const { apply } = setup(undefined);
  const refused = new Map(await apply([unbound('web', '0.0.0.0', 80), outbound, inbound]));
  const needs = 'captured connections need inherited transparent sockets (TULLE_LISTEN_FDS)';
  expect(refused.get('listeners/web')).toBe(`bindToPort: ${needs}`);
  expect(refused.get('listeners/virtualOutbound')).toBe(`useOriginalDst: ${needs}`);
  expect(refused.get('listeners/virtualInbound')).toBe(`listenerFilters[0]: ${needs}`);
  const elsewhere = await setup(ALL).apply([
    { ...outbound, address: { socketAddress: { address: '::', portValue: 1 } } },
  ]);
  expect(elsewhere[0]?.[1]).toContain('useOriginalDst: port 1 is none of');
});
