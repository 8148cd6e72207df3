import { expect, it } from 'vitest';
import type { Connection } from '../../runtime/runtime.ts';
import { FilterChain } from '../filters/chain.ts';
import { FilterRun } from '../filters/filter-run.ts';
import { isPermit, runRequestHeads } from '../filters/permit.ts';
import { HeaderMap } from '../message/header-map.ts';
import { ProxyRequest } from '../request/proxy-request.ts';
import type { RouterClient } from './router-client.ts';
import { TunnelConnection } from './tunnel-connection.ts';

function tunnelOf(events: string[], sent: (bytes: Uint8Array) => boolean = () => true) {
  const head = {
    ...{ method: 'CONNECT', path: '', authority: 'h:1', scheme: '' as const, headers: new HeaderMap() },
    ...{ bodySize: 0, upgrade: 'connect', wantsContinue: false, version: 'HTTP/2' as const },
  };
  const downstream = {
    ...{ remoteAddress: '10.0.0.1', remotePort: 1, localAddress: '10.0.0.2', localPort: 2, secure: false },
    ...{ serverName: '', peerUris: [], peerDns: [], peerSubject: '' },
  };
  const request = new ProxyRequest(head, downstream, 0);
  const permit = runRequestHeads(new FilterRun(request, new FilterChain([]).of(undefined), () => undefined), 0, true);
  if (!isPermit(permit)) throw new Error('no filter stops it');
  const client: RouterClient = {
    request,
    bufferLimit: 0,
    body: { delivered: false, pause() {}, resume() {} },
    response: {
      started: false,
      interim() {},
      fromUpstream: ({ status }) => events.push(`head ${status}`),
      data: sent,
      trailers() {},
    },
    reply() {},
    fail() {},
  };
  const accept = (connection: Connection) => {
    events.push('accepted');
    connection.handler = {
      onData: (bytes) => events.push(new TextDecoder().decode(bytes)),
      onDrain() {},
      onEnd: () => events.push('end'),
      onClose() {},
    };
  };
  return { tunnel: new TunnelConnection(permit, client), accept };
}

it.each([
  ['that has ended when the tunnel opens', true, ['end']],
  ['that continues', false, []],
])('gives what serves a tunnel the bytes of a request %s', (_, ended, last) => {
  const events: string[] = [];
  const { tunnel, accept } = tunnelOf(events);
  tunnel.open(accept, [new TextEncoder().encode('first')], ended);
  expect(events).toEqual(['head 200', 'accepted', 'first', ...last]);
});

it('lets its writer use memory again at once, and counts what the client has no room for', () => {
  const sent: Uint8Array[] = [];
  let room = true;
  const { tunnel, accept } = tunnelOf([], (bytes) => {
    sent.push(bytes);
    return room;
  });
  tunnel.open(accept, [], false);
  const memory = new TextEncoder().encode('one');
  expect([tunnel.write(memory), tunnel.buffered]).toEqual([true, 0]);
  memory.fill(0);
  room = false;
  expect([tunnel.writeLatin1('four'), tunnel.writeBoth('si', memory), tunnel.buffered]).toEqual([false, false, 9]);
  expect(new TextDecoder().decode(sent[0])).toBe('one');
  tunnel.onDownstreamWritable();
  expect(tunnel.buffered).toBe(0);
});
