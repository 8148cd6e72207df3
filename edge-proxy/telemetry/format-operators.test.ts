import { describe, expect, it } from 'vitest';
import {
  ISTIO_JSON_FORMAT,
  ISTIO_TEXT_FORMAT,
  PLAIN_OPERATORS,
  unreadablePart,
} from '../../shared/xds/access-log-format.ts';
import { PEER_FIELDS } from '../attributes/attributes.ts';
import { HeaderMap } from '../http/message/header-map.ts';
import { requestDouble } from '../http/testing/request-double.ts';
import { compileText } from './access-log.ts';
import { parseFormat } from './format-operators.ts';

/** Whether a proxy takes the format; one that it refuses takes the whole listener with it. */
function isTaken(format: string): boolean {
  try {
    parseFormat(format, (ms) => ms);
    return true;
  } catch {
    return false;
  }
}

describe('formats of access logs', () => {
  it.each([
    ISTIO_TEXT_FORMAT,
    ...Object.values(ISTIO_JSON_FORMAT),
    ...PLAIN_OPERATORS.map((name) => `a %${name}% %${name}:10% b`),
    ...['%START_TIME%', '%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%', '%START_TIME(%s)%', '%REQ(A)% %RESP(A?B):3% %%'],
    '%DYNAMIC_METADATA(a:b)%',
    ...Object.keys(PEER_FIELDS).map((field) => `%FILTER_STATE(downstream_peer:FIELD:${field})%`),
    '%FILTER_STATE(upstream_peer_obj:FIELD:workload):10%',
    '%GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS()% %TRAILER(a?b):3%',
  ])('%s is read by proxies, and known to be', (format) => {
    expect([isTaken(format), unreadablePart(format)]).toEqual([true, undefined]);
  });

  it.each([
    ['%NO_SUCH%', '%NO_SUCH%'],
    ['a %REQ_WITHOUT_QUERY()% b', '%REQ_WITHOUT_QUERY()%'],
    ['%CEL(size(a)%', '%CEL(size(a)%'],
    ['%CEL(nope.b +)%', '%CEL(nope.b +)%'],
    ['%REQ()%', '%REQ()%'],
    ['%REQ%', '%REQ%'],
    ['%RESP(a?b?c)%', '%RESP(a?b?c)%'],
    ['%PROTOCOL(x)%', '%PROTOCOL(x)%'],
    ['%START_TIME(%Q)%', '%START_TIME(%Q)%'],
    ['%DYNAMIC_METADATA()%', '%DYNAMIC_METADATA()%'],
    ['%FILTER_STATE(downstream_peer)%', '%FILTER_STATE(downstream_peer)%'],
    ['%FILTER_STATE(upstream_peer:FIELD:labels)%', '%FILTER_STATE(upstream_peer:FIELD:labels)%'],
    ['%FILTER_STATE(other:FIELD:app)%', '%FILTER_STATE(other:FIELD:app)%'],
    ['%GRPC_STATUS(CAMEL)%', '%GRPC_STATUS(CAMEL)%'],
    ['%TRAILER()%', '%TRAILER()%'],
    ['100% of', '% of'],
    ['%protocol%', '%protocol%'],
  ])('%s is refused by proxies, and known to be', (format, part) => {
    expect([isTaken(format), unreadablePart(format)]).toEqual([false, part]);
  });
});

describe('the gRPC status of a request', () => {
  const FORMAT =
    '%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)% %GRPC_STATUS_NUMBER% %TRAILER(Grpc-Message)%';
  const line = compileText(FORMAT, (ms) => ms);
  const written = (type: string, trailers: Record<string, string>, responseCode = 200) => {
    const request = requestDouble({ headers: { 'content-type': type }, responseCode });
    request.responseTrailers = new HeaderMap();
    for (const [name, value] of Object.entries(trailers)) request.responseTrailers.append(name, value);
    return line(request, 0);
  };
  it.each([
    ['application/grpc', { 'grpc-status': '1', 'grpc-message': 'no' }, 'Canceled CANCELLED 1 1 no'],
    ['application/grpc+proto', { 'grpc-status': '99' }, '99 99 99 99 -'],
    ['application/grpc', {}, 'Unknown UNKNOWN 2 2 -'],
    ['text/plain', { 'grpc-status': '1' }, '- - - - -'],
  ])('%s with %j is written as %s', (type, trailers, expected) => expect(written(type, trailers)).toBe(expected));
  it('is that of the HTTP status where there is none', () =>
    expect(written('application/grpc', {}, 503)).toBe('Unavailable UNAVAILABLE 14 14 -'));
});
