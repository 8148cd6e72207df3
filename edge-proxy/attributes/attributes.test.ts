import { describe, expect, it } from 'vitest';
import { HeaderMap } from '../http/message/header-map.ts';
import { requestDouble } from '../http/testing/request-double.ts';
import { connectionRecord } from '../tcp/connection-record.ts';
import type { Cluster, Endpoint } from '../upstream/cluster.ts';
import { readEndpointWorkload } from '../upstream/workload-metadata.ts';
import {
  type AttributeName,
  anyPrincipal,
  attributeMaps,
  attributes,
  PEER_FIELDS,
  type PeerField,
} from './attributes.ts';

const SPIFFE = 'spiffe://cluster.local/ns/shop/sa/front';

function request() {
  const made = requestDouble({
    method: 'POST',
    path: '/books?id=7&x=',
    scheme: 'https',
    authority: 'reviews:9080',
    headers: {
      'X-Request-Id': 'abc',
      'User-Agent': 'curl/8',
      Referer: 'http://r/',
      'Content-Length': '12',
      'X-A': '1',
    },
    downstream: {
      secure: true,
      serverName: 'reviews',
      peerUris: ['urn:other', SPIFFE],
      peerDns: ['front.shop'],
      peerSubject: 'CN=front',
      peerHash: 'ab'.repeat(32),
      localUris: ['spiffe://cluster.local/ns/shop/sa/reviews'],
    },
    remoteIp: '203.0.113.5',
    upstreamHost: '10.0.0.9:9080',
    upstream: {
      localAddress: '10.0.0.2',
      localPort: 5,
      remoteAddress: '10.0.0.9',
      remotePort: 9080,
      tls: { peerUris: ['spiffe://cluster.local/ns/shop/sa/reviews'] },
    },
    cluster: { name: 'outbound|9080||reviews' } as Cluster,
    attempts: 2,
    responseCode: 503,
    details: 'via_upstream',
    flags: ['UF', 'URX'],
    bytesReceived: 3,
    bytesSent: 40,
    startMs: 100,
    endMs: 130,
  });
  made.headers.append('x-a', '2');
  return made;
}

describe('attributes', () => {
  it('of a request have Envoy’s names and values', () => {
    const record = request();
    const expected: { [name in AttributeName]: unknown } = {
      // The client address is from x-forwarded-for: its port is unknown.
      'source.address': '203.0.113.5:0',
      'source.port': 0,
      'source.ip': '10.0.0.1',
      'remote.ip': '203.0.113.5',
      'source.principal': SPIFFE,
      'destination.address': '10.0.0.2:9080',
      'destination.ip': '10.0.0.2',
      'destination.port': 9080,
      'connection.mtls': true,
      'connection.requested_server_name': 'reviews',
      'connection.sni': 'reviews',
      'connection.subject_peer_certificate': 'CN=front',
      'connection.dns_san_peer_certificate': 'front.shop',
      'connection.uri_san_peer_certificate': 'urn:other',
      'connection.uri_san_local_certificate': 'spiffe://cluster.local/ns/shop/sa/reviews',
      'connection.sha256_peer_certificate_digest': 'ab'.repeat(32),
      'connection.termination_details': undefined,
      'request.path': '/books?id=7&x=',
      'request.url_path': '/books',
      'request.query': 'id=7&x=',
      'request.host': 'reviews:9080',
      'request.scheme': 'https',
      'request.method': 'POST',
      'request.protocol': 'HTTP/1.1',
      'request.id': 'abc',
      'request.referer': 'http://r/',
      'request.useragent': 'curl/8',
      'request.size': 12,
      'request.duration': 30,
      'response.code': 503,
      'response.code_details': 'via_upstream',
      'response.grpc_status': undefined,
      // UF is the sixth flag of Envoy's, URX the sixteenth.
      'response.flags': 0x20 | 0x8000,
      'response.size': 40,
      'upstream.address': '10.0.0.9:9080',
      'upstream.port': 9080,
      'upstream.local_address': '10.0.0.2:5',
      'upstream.uri_san_peer_certificate': 'spiffe://cluster.local/ns/shop/sa/reviews',
      'upstream.transport_failure_reason': undefined,
      'upstream.request_attempt_count': 2,
      'upstream.cluster': 'outbound|9080||reviews',
      'xds.cluster_name': 'outbound|9080||reviews',
      'xds.route_name': undefined,
      'xds.virtual_host_name': undefined,
    };
    const found = Object.entries(attributes).map(([name, read]) => [name, read(record)]);
    expect(Object.fromEntries(found)).toEqual(expected);
  });

  it('of a connection that is not HTTP: no request, no response', () => {
    const { downstream } = request();
    const record = connectionRecord(downstream, 100);
    record.endpoint = { id: '10.0.0.9:9080' } as Endpoint;
    record.flags.push('UO');
    record.terminationDetails = 'rbac_access_denied_matched_policy[p]';
    const found = Object.entries(attributes).map(([name, read]) => [name, read(record)] as const);
    const known = found.filter(([, value]) => value !== undefined).map(([name]) => name);
    expect(known.filter((name) => name.startsWith('request.'))).toEqual([]);
    expect(known.filter((name) => name.startsWith('response.'))).toEqual(['response.flags']);
    expect(Object.fromEntries(found)).toMatchObject({
      'source.address': '10.0.0.1:4000',
      'remote.ip': '10.0.0.1',
      'source.principal': SPIFFE,
      'upstream.address': '10.0.0.9:9080',
      'connection.termination_details': 'rbac_access_denied_matched_policy[p]',
      'response.flags': 0x80,
    });
  });

  it('that are not known yet are undefined', () => {
    const record = requestDouble({ path: '', authority: '' });
    const names = ['request.path', 'request.host', 'request.duration', 'response.code', 'upstream.address'] as const;
    expect(names.map((name) => attributes[name](record))).toEqual(names.map(() => undefined));
    expect(attributes['connection.mtls'](record)).toBe(false);
    expect(attributes['request.size'](record)).toBe(0);
  });

  it('maps are read by key', () => {
    const record = request();
    expect(attributeMaps['request.headers']('x-a')(record)).toBe('1,2');
    expect(attributeMaps['response.headers']('x-b')(record)).toBeUndefined();
    const headers = new HeaderMap();
    headers.append('X-B', 'b');
    record.responseHeaders = headers;
    expect(attributeMaps['response.headers']('x-b')(record)).toBe('b');
    record.metadata = { jwt: { iss: 'i' } };
    expect(attributeMaps.metadata('jwt')(record)).toEqual({ iss: 'i' });
    expect(attributeMaps.metadata('toString')(record)).toBeUndefined();
  });

  it('describe the peers by the names of Istio', () => {
    const workload = { ...readEndpointWorkload('front-v1;shop;front;r1;east'), availabilityZone: 'eu-1' };
    const record = request();
    record.downstreamPeer = { principal: SPIFFE, workload, sentHeaders: true };
    const fields = Object.keys(PEER_FIELDS) as PeerField[];
    const found = fields.map((field) => [field, attributeMaps.downstream_peer(field)(record)]);
    expect(Object.fromEntries(found.filter(([, value]) => value !== undefined))).toEqual({
      workload: 'front-v1',
      namespace: 'shop',
      service: 'front',
      revision: 'r1',
      app: 'front',
      version: 'r1',
      cluster: 'east',
      availability_zone: 'eu-1',
    });
    expect(attributeMaps.upstream_peer('workload')(record)).toBeUndefined();
    record.upstreamPeer = record.downstreamPeer;
    expect(attributeMaps.upstream_peer('workload')(record)).toBe('front-v1');
  });

  it('any principal: a SPIFFE id of the certificate, or the one of a token; nothing else', () => {
    const record = request();
    const is = (wanted: string) => anyPrincipal(record, (principal) => principal === wanted);
    expect([is(SPIFFE), is('urn:other'), is('spiffe://edge/w')]).toEqual([true, false, false]);
    record.tokenPrincipal = 'spiffe://edge/w';
    expect([is(SPIFFE), is('spiffe://edge/w')]).toEqual([true, true]);
    expect(attributes['source.principal'](record)).toBe('spiffe://edge/w');
  });
});
