import { describe, expect, it } from 'vitest';
import { HeaderMap } from '../message/header-map.ts';
import type { RouteEntry } from '../routing/route-table.ts';
import { type DecoratedRequest, decoratorOf } from './decorator.ts';

const HEADER = 'x-envoy-decorator-operation';
const route = { operation: 'reviews/*' } as RouteEntry;
const fields = (value?: string): HeaderMap => {
  const headers = new HeaderMap();
  if (value !== undefined) headers.append(HEADER, value, HEADER);
  return headers;
};
const asked = (value?: string): DecoratedRequest => ({ headers: fields(value), route, operation: '' });

describe('of clients', () => {
  const decorator = decoratorOf(true);
  it('names the operation of the route to the server, whatever the client wrote', () => {
    for (const value of [undefined, 'forged']) {
      const request = asked(value);
      decorator.request(request);
      expect(request.headers.joined(HEADER)).toBe('reviews/*');
    }
  });
  it('keeps the name that the server gave from the client', () => {
    const headers = fields('theirs');
    decorator.response(asked(), headers);
    expect(headers.has(HEADER)).toBe(false);
  });
});

describe('of a server', () => {
  const decorator = decoratorOf(false);
  const answered = (value?: string) => {
    const request = asked(value);
    decorator.request(request);
    const headers = fields();
    decorator.response(request, headers);
    return [request.headers.joined(HEADER), headers.joined(HEADER)];
  };
  it('names the operation in the response', () => expect(answered()).toEqual([undefined, 'reviews/*']));
  it('takes the name of the client, which the application does not see', () =>
    expect(answered('theirs')).toEqual([undefined, undefined]));
});
