import { describe, expect, it } from 'vitest';
import { HeaderMap } from '../message/header-map.ts';
import {
  camelGrpcStatus,
  grpcOfHttp,
  grpcStatusOf,
  httpOfGrpc,
  isGrpcResponse,
  isGrpcType,
  upperGrpcStatus,
} from './status.ts';

const fields = (status?: string, type?: string) => {
  const map = new HeaderMap();
  if (status !== undefined) map.append('Grpc-Status', status);
  if (type !== undefined) map.append('Content-Type', type);
  return map;
};

describe('gRPC status', () => {
  it('is one of the trailers, else of the head, else by the HTTP status', () => {
    expect(grpcStatusOf(fields('5'), fields('0'), 200)).toBe(5);
    expect(grpcStatusOf(fields(), fields('7'), 200)).toBe(7);
    expect(grpcStatusOf(undefined, fields(), 503)).toBe(14);
    expect(grpcStatusOf(undefined, undefined, 200)).toBe(2);
    expect(grpcStatusOf(undefined, undefined, 0)).toBeUndefined();
  });
  it.each(['x', '-1', '1.5', ' 1', '99999999999'])('%j is no code', (text) =>
    expect(grpcStatusOf(fields(text), undefined, 200)).toBe(-1),
  );
  it('may be a code that gRPC does not define', () => expect(grpcStatusOf(fields('77'), undefined, 200)).toBe(77));
  it('has names', () => {
    expect([1, 4, 16, 17, -1].map(camelGrpcStatus)).toEqual([
      'Canceled',
      'DeadlineExceeded',
      'Unauthenticated',
      '17',
      '-1',
    ]);
    expect([1, 4, 17].map(upperGrpcStatus)).toEqual(['CANCELLED', 'DEADLINE_EXCEEDED', '17']);
  });
  it('has an HTTP status, and an HTTP status has one', () => {
    expect([0, 1, 4, 8, 13, 14, 16, 17, -1].map(httpOfGrpc)).toEqual([200, 499, 504, 429, 500, 503, 401, 500, 500]);
    expect([200, 400, 401, 403, 404, 429, 500, 502, 503, 504].map(grpcOfHttp)).toEqual([
      2, 13, 16, 7, 12, 14, 2, 14, 14, 14,
    ]);
  });
  it('is of gRPC alone', () => {
    expect(
      ['application/grpc', 'application/grpc+proto', 'application/grpc-web', 'application/grpc;a=b', undefined].map(
        isGrpcType,
      ),
    ).toEqual([true, true, false, false, false]);
    expect(isGrpcResponse(200, fields(undefined, 'application/grpc'), false)).toBe(true);
    expect(isGrpcResponse(200, fields(undefined, 'application/grpc'), true)).toBe(false);
    expect(isGrpcResponse(503, fields('14'), true)).toBe(true);
    expect(isGrpcResponse(503, fields(undefined, 'application/grpc'), false)).toBe(false);
  });
});
