import { request } from 'node:https';
import { afterEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../shared/xds/discovery.ts';
import { TYPE_URLS } from '../../../shared/xds/discovery.ts';
import { Call, DELTA, NODE, type StreamServer, startStreamServer, typed, WORLD } from './testing/stream-server.ts';

let server: StreamServer;
afterEach(() => server.close());

const eds = (name: string, connectTimeout = '1s') => ({
  name,
  type: 'EDS' as const,
  connectTimeout,
  edsClusterConfig: { edsConfig: { ads: {}, resourceApiVersion: 'V3' as const } },
});
const assignment = (clusterName: string, portValue = 80) => ({
  clusterName,
  endpoints: [{ lbEndpoints: [{ endpoint: { address: { socketAddress: { address: '10.0.0.1', portValue } } } }] }],
});
const SNAPSHOT = {
  secrets: [{ name: 'kubernetes://s', tlsCertificate: { privateKey: { inlineString: 'PRIVATE' } } }],
  clusters: [eds('a'), eds('b')],
  endpoints: [assignment('a'), assignment('b')],
  listeners: [],
  routes: [],
} as unknown as Snapshot;
const [clusters, endpoints, secrets] = [TYPE_URLS.clusters, TYPE_URLS.endpoints, TYPE_URLS.secrets];

const statusOf = (of: StreamServer) => of.discovery.status()[0]!;
/** Waits until requests that were sent have been taken. */
async function until(check: () => boolean): Promise<void> {
  while (!check()) await new Promise((again) => setTimeout(again, 5));
}

describe('incremental ADS', () => {
  it('sends all of a wildcard type, endpoints by name, and what changes', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const call = new Call(await server.connect(), DELTA);
    const first = await call.take1({ node: NODE, typeUrl: clusters });
    expect(first).toMatchObject({ typeUrl: clusters, got: { a: { name: 'a', connectTimeout: '1s' }, b: {} } });
    const named = await call.take1({ typeUrl: endpoints, resourceNamesSubscribe: ['a'] });
    expect(named.got).toEqual({ a: typed('endpoints', assignment('a')) });
    server.change({ endpoints: [assignment('a', 81), assignment('b', 81)] } as never);
    expect((await call.take1()).got).toEqual({ a: typed('endpoints', assignment('a', 81)) });
    await until(() => statusOf(server).types.endpoints.state === 'SYNCED');
    expect(statusOf(server)).toMatchObject({ id: NODE.id, connected: true, types: { clusters: { resources: 2 } } });
  });

  it('sends endpoints again with a cluster that changed, and removes a cluster after that was taken', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const call = new Call(await server.connect(), DELTA);
    await call.take1({ node: NODE, typeUrl: clusters });
    await call.take1({ typeUrl: endpoints, resourceNamesSubscribe: ['a', 'b'] });
    server.change({ clusters: [eds('a', '2s')] } as never);
    const changed = await call.next();
    expect(changed).toMatchObject({ typeUrl: clusters, resources: [{ name: 'a' }] });
    expect(changed['removedResources']).toBeUndefined();
    expect(await call.take1()).toMatchObject({ typeUrl: endpoints, got: { a: {} } });
    expect(call.unread).toBe(0);
    call.send({ typeUrl: clusters, responseNonce: changed['nonce'] });
    expect(await call.take1()).toMatchObject({ typeUrl: clusters, got: {}, removed: ['b'] });
  });

  it('answers a type while another is not acknowledged, as of clusters that wait for endpoints', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const call = new Call(await server.connect(), DELTA);
    call.send({ node: NODE, typeUrl: clusters });
    const first = await call.next();
    expect(await call.take1({ typeUrl: endpoints, resourceNamesSubscribe: ['a'] })).toMatchObject({ got: { a: {} } });
    call.send({ typeUrl: clusters, responseNonce: first['nonce'] });
    await until(() => statusOf(server).types.clusters.state === 'SYNCED');
    expect(call.unread).toBe(0);
  });

  it('answers a name that there is not with its removal', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const call = new Call(await server.connect(), DELTA);
    const asked = { node: NODE, typeUrl: endpoints, resourceNamesSubscribe: ['none'] };
    expect(await call.take1(asked)).toMatchObject({ got: {}, removed: ['none'] });
  });

  it('resends nothing to a client that has it', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const call = new Call(await server.connect(), DELTA);
    call.send({ node: NODE, typeUrl: clusters });
    const { resources, nonce } = (await call.next()) as {
      nonce: string;
      resources: { name: string; version: string }[];
    };
    call.send({ typeUrl: clusters, responseNonce: nonce });
    call.stream.close();
    const again = new Call(await server.connect(), DELTA);
    const initialResourceVersions = Object.fromEntries(resources.map(({ name, version }) => [name, version]));
    again.send({ node: NODE, typeUrl: clusters, initialResourceVersions });
    expect(await again.take1({ typeUrl: endpoints, resourceNamesSubscribe: ['b'] })).toMatchObject({ got: { b: {} } });
    expect(again.unread).toBe(0);
  });

  it('takes from a refusal which clusters are meant', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const call = new Call(await server.connect(), DELTA);
    call.send({ node: NODE, typeUrl: clusters });
    const { nonce } = await call.next();
    const message = 'Error adding/updating cluster(s) b: why, and why';
    call.send({ typeUrl: clusters, responseNonce: nonce, errorDetail: { code: 13, message } });
    await until(() => statusOf(server).types.clusters.state === 'NACK');
    expect(statusOf(server).types.clusters).toMatchObject({
      resources: 1,
      refused: [{ name: 'b', message: 'why, and why' }],
    });
    expect(server.rejected).toEqual(['clusters: b: why, and why']);
    server.change({ clusters: [eds('a'), eds('b', '3s')] } as never);
    expect((await call.take1()).got).toMatchObject({ b: { connectTimeout: '3s' } });
  });

  it("refuses by name, for the client, what Envoy's API does not have, and sends the rest", async () => {
    const snapshot = { ...SNAPSHOT, clusters: [eds('a'), { ...eds('b'), nope: 1 }] } as unknown as Snapshot;
    server = await startStreamServer({ snapshot });
    const call = new Call(await server.connect(), DELTA);
    expect(Object.keys((await call.take1({ node: NODE, typeUrl: clusters })).got)).toEqual(['a']);
    await until(() => statusOf(server).types.clusters.state === 'NACK');
    expect(statusOf(server).types.clusters.error).toMatch(/^b: cannot be sent: .*Cluster.*"nope" is unknown$/);
  });

  it('says which types it is asked for and does not have', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const call = new Call(await server.connect(), DELTA);
    call.send({ node: NODE, typeUrl: 'type.googleapis.com/istio.networking.nds.v1.NameTable' });
    await call.take1({ typeUrl: clusters });
    expect(server.lines).toEqual([expect.stringContaining('NameTable')]);
  });
});

describe('ADS of the state of the world', () => {
  interface World {
    readonly typeUrl: string;
    readonly nonce: string;
    readonly resources?: readonly { readonly name?: string; readonly clusterName?: string }[];
  }
  const namesIn = ({ resources = [] }: World) => resources.map(({ name, clusterName }) => name ?? clusterName);

  it('sends all clusters each time, and of endpoints what changed', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const call = new Call(await server.connect(), WORLD);
    call.send({ node: NODE, typeUrl: clusters });
    const first = (await call.next()) as unknown as World;
    expect(namesIn(first)).toEqual(['a', 'b']);
    call.send({ typeUrl: clusters, responseNonce: first.nonce });
    call.send({ typeUrl: endpoints, resourceNames: ['a', 'b'] });
    const own = (await call.next()) as unknown as World;
    expect(namesIn(own)).toEqual(['a', 'b']);
    call.send({ typeUrl: endpoints, resourceNames: ['a', 'b'], responseNonce: own.nonce });
    server.change({ endpoints: [assignment('a'), assignment('b', 99)] } as never);
    const changed = (await call.next()) as unknown as World;
    expect(namesIn(changed)).toEqual(['b']);
    call.send({ typeUrl: endpoints, resourceNames: ['a', 'b'], responseNonce: changed.nonce });
    server.change({ clusters: [eds('a'), eds('c')] } as never);
    const added = (await call.next()) as unknown as World;
    expect(namesIn(added)).toEqual(['a', 'b', 'c']);
    call.send({ typeUrl: clusters, responseNonce: added.nonce });
    const removed = (await call.next()) as unknown as World;
    expect(namesIn(removed)).toEqual(['a', 'c']);
  });

  it('does not take an answer to an earlier response for one to the last', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const call = new Call(await server.connect(), WORLD);
    call.send({ node: NODE, typeUrl: clusters });
    const first = (await call.next()) as unknown as World;
    call.send({ typeUrl: clusters, responseNonce: 'another' });
    call.send({ typeUrl: endpoints, resourceNames: ['a'] });
    await call.next();
    expect(statusOf(server).types.clusters.state).toBe('STALE');
    const errorDetail = { message: 'Error adding/updating cluster(s) a: no' };
    call.send({ typeUrl: clusters, responseNonce: first.nonce, errorDetail });
    await until(() => statusOf(server).types.clusters.state === 'NACK');
    expect(statusOf(server).types.clusters.refused).toEqual([expect.objectContaining({ name: 'a', message: 'no' })]);
  });
});

describe('callers of streams', () => {
  const endOf = async (call: Call) => {
    const { status, message } = await call.ended;
    return [status, message];
  };

  it('must be workloads, by certificate or the token of a service account, with a node of their own', async () => {
    const users = { account: 'system:serviceaccount:default:a', person: 'jane' };
    server = await startStreamServer({ snapshot: SNAPSHOT, users });
    const anonymous = new Call(await server.connect(''), DELTA);
    expect(await endOf(anonymous)).toEqual([16, expect.stringContaining('workload identity')]);
    const person = new Call(await server.connect(''), DELTA, { authorization: 'Bearer person' });
    expect(await endOf(person)).toEqual([7, 'only workloads may discover config']);
    const foreign = new Call(await server.connect('b'), DELTA);
    foreign.send({ node: NODE, typeUrl: clusters });
    expect(await endOf(foreign)).toEqual([7, expect.stringContaining('SERVICE_ACCOUNT: must be "b"')]);
    const account = new Call(await server.connect(''), DELTA, { authorization: 'Bearer account' });
    account.send({ node: NODE, typeUrl: secrets, resourceNamesSubscribe: ['kubernetes://s'] });
    // A bearer token is sent no private keys.
    expect((await account.take1({ typeUrl: clusters })).typeUrl).toBe(clusters);
    const own = new Call(await server.connect(), '/envoy.service.secret.v3.SecretDiscoveryService/DeltaSecrets');
    own.send({ node: NODE, typeUrl: clusters });
    const asked = { typeUrl: secrets, resourceNamesSubscribe: ['kubernetes://s'] };
    expect((await own.take1(asked)).got).toMatchObject({ 'kubernetes://s': { tlsCertificate: {} } });
  });

  it('are held to the limits of messages', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const session = await server.connect();
    const calls = Array.from({ length: 5 }, () => new Call(session, DELTA));
    const [long, compressed, broken, nodeless, cut] = calls as [Call, Call, Call, Call, Call];
    long.sendBytes(new Uint8Array(), 0, 5 * 1024 * 1024);
    expect(await endOf(long)).toEqual([8, 'a message must not be longer than 4194304 bytes']);
    compressed.sendBytes(new Uint8Array(1), 1);
    expect(await endOf(compressed)).toEqual([12, expect.stringContaining('compressed')]);
    broken.sendBytes(Uint8Array.from([10, 255]));
    expect((await endOf(broken))[0]).toBe(3);
    nodeless.send({ typeUrl: clusters });
    expect(await endOf(nodeless)).toEqual([3, 'node: must be in the first request of a stream']);
    cut.sendBytes(new Uint8Array(2), 0, 10);
    cut.stream.end();
    expect(await endOf(cut)).toEqual([3, 'the request ended amid a message']);
  });

  it('need HTTP/2', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const status = await new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/grpc' };
      const options = { method: 'POST', ca: server.trustBundle, headers, agent: false as const };
      request(`${server.server.url}${DELTA}`, options, (response) => resolve(response.resume().statusCode))
        .on('error', reject)
        .end();
    });
    expect(status).toBe(505);
  });
});

describe('the end of a stream', () => {
  const opened = async () => {
    const session = await server.connect();
    const away = new Promise<void>((resolve) => session.once('goaway', () => resolve()));
    const call = new Call(session, DELTA);
    await call.take1({ node: NODE, typeUrl: clusters });
    return { call, away };
  };

  it('comes at its age, with GOAWAY', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT, maxAgeMs: 300 });
    const { call, away } = await opened();
    await away;
    expect(await call.ended).toMatchObject({ status: 14, message: expect.stringContaining('old') });
  });

  it('comes soon where a token opened it', async () => {
    const users = { account: 'system:serviceaccount:default:a' };
    server = await startStreamServer({ snapshot: SNAPSHOT, users, times: { tokenAgeMs: 200 } });
    const call = new Call(await server.connect(''), DELTA, { authorization: 'Bearer account' });
    await call.take1({ node: NODE, typeUrl: clusters });
    expect(await call.ended).toMatchObject({ status: 14 });
  });

  it('comes with a stop of the control plane', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const { call, away } = await opened();
    await server.watches.end();
    expect(await call.ended).toMatchObject({ status: 14, message: expect.stringContaining('stops') });
    void server.server.close();
    await away;
  });

  it('comes when the client has said all', async () => {
    server = await startStreamServer({ snapshot: SNAPSHOT });
    const { call } = await opened();
    call.stream.end();
    expect(await call.ended).toEqual({ status: 0, message: '' });
  });
});
