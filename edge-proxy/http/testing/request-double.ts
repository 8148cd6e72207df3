/** A request for the tests of filters, matchers and routes. */

import { FilterChain } from '../filters/chain.ts';
import { FilterRun } from '../filters/filter-run.ts';
import { HeaderMap } from '../message/header-map.ts';
import type { DownstreamInfo, RequestContext } from '../request/request-context.ts';
import type { SideCall } from '../side-call/side-call.ts';

export type RequestParts = Partial<Omit<RequestContext, 'headers' | 'downstream'>> & {
  headers?: Record<string, string>;
  downstream?: Partial<DownstreamInfo>;
};

export function requestDouble({ headers, downstream, ...parts }: RequestParts = {}): RequestContext {
  const fields = new HeaderMap();
  for (const [name, value] of Object.entries(headers ?? {})) fields.append(name, value);
  return {
    kind: 'request',
    downstream: {
      remoteAddress: '10.0.0.1',
      remotePort: 4000,
      localAddress: '10.0.0.2',
      localPort: 9080,
      secure: false,
      serverName: '',
      peerUris: [],
      peerDns: [],
      peerSubject: '',
      ...downstream,
    },
    method: 'GET',
    path: '/',
    authority: 'reviews',
    scheme: 'http',
    protocol: 'HTTP/1.1',
    headers: fields,
    startMs: 0,
    endMs: 0,
    remoteIp: downstream?.remoteAddress ?? '10.0.0.1',
    route: undefined,
    cluster: undefined,
    upstreamHost: undefined,
    attempts: 1,
    responseCode: 0,
    details: '',
    flags: [],
    bytesReceived: 0,
    bytesSent: 0,
    metadata: undefined,
    tokenPrincipal: undefined,
    ...parts,
  };
}

/** As the filters of a request see it. */
export function contextOf<Request extends RequestContext>(request: Request): FilterRun<Request> {
  return new FilterRun(request, new FilterChain([]).of(null), () => undefined);
}

const notCalled = () => Promise.reject(new Error('not called in this test'));
/** For filters that ask no other service. */
export const noCalls: SideCall = {
  http: notCalled,
  unary: notCalled,
  stream: () => {
    throw new Error('not called in this test');
  },
};
