import { describe, expect, it } from 'vitest';
import {
  type Peer,
  readEndpointWorkload,
  UNKNOWN_WORKLOAD,
  type WorkloadLookup,
} from '../../../upstream/workload-metadata.ts';
import { HeaderMap } from '../../message/header-map.ts';
import { contextOf, requestDouble } from '../../testing/request-double.ts';
import { peerMetadata } from './index.ts';
import { encodeMetadata } from './metadata-header.ts';

const METADATA = 'x-envoy-peer-metadata';
const ID = `${METADATA}-id`;
const front = { ...UNKNOWN_WORKLOAD, name: 'f', namespace: 'shop', workload: 'front-v1', app: 'front', cluster: 'c' };
const FRONT = 'spiffe://cluster.local/ns/shop/sa/front';
const own = { id: 'sidecar~10.0.0.2~own.books~books', workload: { ...front, namespace: 'books', workload: 'own' } };
const methods = [{ istioHeaders: {} }, { workloadDiscovery: {} }];
const inbound = { downstreamDiscovery: methods, downstreamPropagation: [{ istioHeaders: {} }] };
const outbound = { upstreamDiscovery: methods, upstreamPropagation: [{ istioHeaders: {} }] };

const filter = (config: object, workloads?: WorkloadLookup) =>
  peerMetadata.create(config, {
    name: 'istio.metadata_exchange',
    env: { now: () => 0, random: () => 0, sleep: async () => {}, call: undefined as never, own, workloads },
    routeConfig: () => undefined,
  })!;

const sent = (metadata: string, id = 'sidecar~x') => ({ [METADATA]: metadata, [ID]: id });
const fields = (headers: HeaderMap) => Object.fromEntries(headers.keys.map((key, i) => [key, headers.values[i]]));
const headerMap = (of: Record<string, string>) => {
  const headers = new HeaderMap();
  for (const [name, value] of Object.entries(of)) headers.append(name, value);
  return headers;
};

/** A request through an inbound filter, and an application's response. */
function through(
  peerUris: string[],
  headers: Record<string, string>,
  answer: Record<string, string> = {},
  on = filter(inbound),
) {
  const request = requestDouble({
    headers: { ...headers, 'x-a': '1' },
    downstream: { secure: peerUris.length > 0, peerUris },
  });
  const context = contextOf(request);
  const response = headerMap(answer);
  expect(on.onRequestHead!(context, true)).toBeUndefined();
  expect(on.onResponseHead!(context, { status: 200, headers: response }, true)).toBeUndefined();
  return { peer: request.downstreamPeer, seen: fields(request.headers), answered: fields(response), request };
}

describe('inbound', () => {
  it('takes the metadata of a verified peer, answers with its own, and hides both from the application', () => {
    const { peer, seen, answered } = through([FRONT], sent(encodeMetadata(front)), { 'x-b': '2' });
    expect(peer).toEqual({ principal: FRONT, workload: front, sentHeaders: true });
    expect(seen).toEqual({ 'x-a': '1' });
    expect(answered).toEqual({ 'x-b': '2', [ID]: own.id, [METADATA]: encodeMetadata(own.workload) });
  });

  it.each<[string, string[], Record<string, string>]>([
    ['a plaintext client', [], sent(encodeMetadata(front))],
    ['a workload of another namespace', ['spiffe://cluster.local/ns/evil/sa/front'], sent(encodeMetadata(front))],
    ['a certificate without a SPIFFE id', ['https://shop/front'], sent(encodeMetadata(front))],
    ['a SPIFFE id that is no workload', ['spiffe://cluster.local/front'], sent(encodeMetadata(front))],
    [
      'a certificate with several names',
      [FRONT, 'spiffe://cluster.local/ns/shop/sa/other'],
      sent(encodeMetadata(front)),
    ],
    ['metadata without a namespace', [FRONT], sent(encodeMetadata({ ...front, namespace: '' }))],
    ['metadata that cannot be read', [FRONT], sent('%%%')],
    ['an id alone', [FRONT], { [ID]: 'sidecar~x' }],
  ])('believes nothing of %s, answers nothing, and still hides the headers', (_, uris, headers) => {
    const { peer, seen, answered } = through(uris, headers);
    expect(peer).toBeUndefined();
    expect(seen).toEqual({ 'x-a': '1' });
    expect(answered).toEqual({});
  });

  it('takes no metadata that contradicts itself', () => {
    const request = requestDouble({
      headers: sent(encodeMetadata(front)),
      downstream: { secure: true, peerUris: [FRONT] },
    });
    request.headers.append(METADATA, encodeMetadata({ ...front, workload: 'other' }));
    filter(inbound).onRequestHead!(contextOf(request), true);
    expect(request.downstreamPeer).toBeUndefined();
    expect(request.headers.size).toBe(0);
  });

  it('lets no application speak for the proxy', () => {
    const forged = sent(encodeMetadata({ ...front, namespace: 'books' }));
    expect(through([], {}, forged).answered).toEqual({});
    expect(through([FRONT], sent(encodeMetadata(front)), forged).answered[METADATA]).toBe(encodeMetadata(own.workload));
  });

  it('finds a verified peer that sends nothing by its address, in its own namespace alone', () => {
    const at: WorkloadLookup['at'] = (address, namespace) =>
      address === '10.0.0.1' && namespace === 'shop' ? found : undefined;
    const found = readEndpointWorkload('front-v1;shop;front;v1;c');
    const on = filter(inbound, { at });
    const { peer, answered } = through([FRONT], {}, {}, on);
    expect(peer).toEqual({ principal: FRONT, workload: found, sentHeaders: false });
    expect(answered).toEqual({});
    expect(through(['spiffe://cluster.local/ns/evil/sa/x'], {}, {}, on).peer).toBeUndefined();
    expect(through([], {}, {}, on).peer).toBeUndefined();
    expect(through([FRONT], {}, {}, on).peer).toBe(peer);
  });

  it('gives the same peer as the same object, over connections; and remembers a bounded number', () => {
    const on = filter(inbound);
    const peerOf = (workload: string) =>
      through([FRONT], sent(encodeMetadata({ ...front, workload })), {}, on).peer as Peer;
    const first = peerOf('w');
    expect(peerOf('w')).toBe(first);
    const other = through(
      ['spiffe://cluster.local/ns/shop/sa/b'],
      sent(encodeMetadata({ ...front, workload: 'w' })),
      {},
      on,
    );
    expect(other.peer).not.toBe(first);
    expect(other.peer?.principal).toBe('spiffe://cluster.local/ns/shop/sa/b');
    for (let i = 0; i < 500; i++) peerOf(`w${i}`);
    expect(peerOf('w')).not.toBe(first);
    expect(peerOf('w')).toEqual(first);
  });

  it('looks at each request of a connection', () => {
    const on = filter(inbound);
    const downstream = { ...requestDouble({}).downstream, secure: true, peerUris: [FRONT] };
    const workloadOf = (metadata: string) => {
      const request = { ...requestDouble({ headers: sent(metadata) }), downstream };
      on.onRequestHead!(contextOf(request), true);
      return request.downstreamPeer?.workload.workload;
    };
    const [a, b] = ['a', 'b'].map((workload) => encodeMetadata({ ...front, workload }));
    expect([a!, a!, b!, '', a!].map(workloadOf)).toEqual(['a', 'a', 'b', undefined, 'a']);
  });
});

describe('outbound', () => {
  const answerOf = (
    headers: Record<string, string>,
    tls: { peerUris: string[] } | undefined,
    request = requestDouble(),
  ) => {
    const on = filter(outbound);
    const response = headerMap({ ...headers, 'x-b': '2' });
    request.upstream = { localAddress: '', localPort: 1, remoteAddress: '', remotePort: 2, tls };
    on.onRequestHead!(contextOf(request), true);
    on.onResponseHead!(contextOf(request), { status: 200, headers: response }, true);
    return { peer: request.upstreamPeer, left: fields(response) };
  };

  it('tells the server, in the place of what the application or an external client wrote', () => {
    const request = requestDouble({ headers: sent('forged', 'forged') });
    request.headers.append(METADATA, 'forged again');
    answerOf({}, undefined, request);
    expect([...request.headers.keys].sort()).toEqual([METADATA, ID].sort());
    expect(request.headers.get(METADATA)).toBe(encodeMetadata(own.workload));
    expect(request.headers.get(ID)).toBe(own.id);
  });

  it('takes the metadata of the verified server that answered, and hides it from the client', () => {
    const answer = answerOf(sent(encodeMetadata(front)), { peerUris: [FRONT] });
    expect(answer.peer).toEqual({ principal: FRONT, workload: front, sentHeaders: true });
    expect(answer.left).toEqual({ 'x-b': '2' });
  });

  it.each([
    ['plaintext', undefined],
    ['a server without a name', { peerUris: [] }],
    ['a server of another namespace', { peerUris: ['spiffe://cluster.local/ns/evil/sa/front'] }],
  ])('believes nothing of %s, and hides it', (_, tls) => {
    expect(answerOf(sent(encodeMetadata(front)), tls)).toEqual({ peer: undefined, left: { 'x-b': '2' } });
  });
});

describe('configuration', () => {
  it.each([
    [
      { upstreamPropagation: [{ istioHeaders: { skipExternalClusters: true } }] },
      'skipExternalClusters: is not supported',
    ],
    [{ upstreamPropagation: [{}] }, 'upstreamPropagation[0]: must have istioHeaders'],
    [{ downstreamDiscovery: [{}] }, 'downstreamDiscovery[0]: must have exactly one method'],
    [
      { upstreamDiscovery: [{ workloadDiscovery: {} }, { istioHeaders: {} }] },
      'upstreamDiscovery: must have istioHeaders before',
    ],
  ])('refuses %j', (config, reason) => expect(() => filter(config)).toThrow(reason));
});
