import { expect, it } from 'vitest';
import type { Connection } from '../../runtime/runtime.ts';
import { FilterChain } from '../filters/chain.ts';
import { FilterRun } from '../filters/filter-run.ts';
import { isPermit, runRequestHeads } from '../filters/permit.ts';
import { HeaderMap } from '../message/header-map.ts';
import { ProxyRequest } from '../request/proxy-request.ts';
import type { RouterClient } from './router-client.ts';
import { TunnelConnection } from './tunnel-connection.ts';

function tunnelOf(events: string[]) {
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
      data: () => true,
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
