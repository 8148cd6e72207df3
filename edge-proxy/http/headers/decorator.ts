/**
 * x-envoy-decorator-operation: where tracing is configured, a proxy names the operation of a request to the next one, whose
 * span has that name; the proxy of the server names it in the response where the request did not. As Envoy
 * (ConnectionManagerImpl::ActiveStream::traceRequest and encodeHeaders).
 */

import type { HeaderMap } from '../message/header-map.ts';
import type { RouteEntry } from '../routing/route-table.ts';

const HEADER = 'x-envoy-decorator-operation';

/** What of a request is read and written. */
export interface DecoratedRequest {
  readonly headers: HeaderMap;
  readonly route?: RouteEntry | null | undefined;
  /** The operation that the response is to name; '': none. */
  operation: string;
}

export interface Decorator {
  /** Once the route is chosen, before filters. */
  request(request: DecoratedRequest): void;
  response(request: Pick<DecoratedRequest, 'operation'>, headers: HeaderMap): void;
}

const CLIENT: Decorator = {
  request: ({ headers, route }) => {
    if (route?.operation) headers.set(HEADER, route.operation);
  },
  response: (_, headers) => void headers.remove(HEADER),
};

const SERVER: Decorator = {
  request: (request) => {
    const { headers, route } = request;
    if (headers.has(HEADER)) headers.remove(HEADER);
    else request.operation = route?.operation ?? '';
  },
  response: ({ operation }, headers) => {
    if (operation !== '') headers.set(HEADER, operation);
  },
};

/** @param outbound the listener is one of clients (`traffic_direction` OUTBOUND) */
export const decoratorOf = (outbound: boolean): Decorator => (outbound ? CLIENT : SERVER);
