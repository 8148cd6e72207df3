import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Field } from '../../http/codec/h2/fields.ts';
import { defaultHttp2Options } from '../../http/codec/h2/options.ts';
import { http2Protocol } from '../../http/codec/h2/upstream-connection.ts';
import { framedMessage } from '../../http/grpc/message-reader.ts';
import { HeaderMap } from '../../http/message/header-map.ts';
import type { ResponseHead } from '../../http/message/message.ts';
import { grpcCheck, healthCheckRequest, servingStatus } from './grpc-health.ts';
import { type CheckResult, PASSED, REFUSED } from './health-checker.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const status = (payload: string) => servingStatus(framedMessage(hex(payload)));

it('a request names its service, or nothing', () => {
  expect(healthCheckRequest('')).toEqual(new Uint8Array(0));
  expect(healthCheckRequest('é')).toEqual(hex('0a02 c3a9'));
  expect(healthCheckRequest('x'.repeat(300)).subarray(0, 4)).toEqual(hex('0aac0278'));
});

describe('the status of a response', () => {
  it.each([
    ['nothing is UNKNOWN', '', 0],
    ['SERVING', '0801', 1],
    ['NOT_SERVING', '0802', 2],
    ['the last one counts', '08020801', 1],
    ['an enum that is negative', '08 ffffffffffffffffff01', -1],
    ['a varint longer than it must be', '08 8100', 1],
    ['the lower 32 bits count', '08 8180808010', 1],
    ['fields of every wire type are passed over', '109601 190102030405060708 22026162 2d01020304 0801', 1],
    ['another wire type of the same field', '0a0101 0801', 1],
  ])('%s', (_, payload, wanted) => {
    expect(status(payload)).toBe(wanted);
  });

  it.each([
    ['a key alone', '08'],
    ['a varint without end', '0880'],
    ['a varint of eleven bytes', '08 8080808080808080808001'],
    ['field number 0', '0001'],
    ['a key that is too large', 'f8ffffff7f01'],
    ['a group', '0b0c'],
    ['a wire type that there is not', '0e'],
    ['a string that is cut off', '0a0561'],
    ['a string of an impossible length', '0a ffffffffffffffffff01'],
    ['64 bits that are cut off', '1901'],
    ['32 bits that are cut off', '2d01'],
  ])('malformed: %s', (_, payload) => {
    expect(status(payload)).toBeUndefined();
  });

  it.each([
    ['no message', ''],
    ['a head that is cut off', '00000000'],
    ['a message that is cut off', '0000000002 08'],
    ['more than one message', '0000000002 0801 00'],
    ['compression', '0100000002 0801'],
    ['another flag', '0200000002 0801'],
  ])('no one message: %s', (_, body) => {
    expect(servingStatus(hex(body))).toBeUndefined();
  });

  it('no bytes make it throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (bytes, framed) => {
        const found = servingStatus(framed ? framedMessage(bytes) : bytes);
        expect(found === undefined || Number.isInteger(found)).toBe(true);
      }),
      { numRuns: 5000 },
    );
  });
});

describe('a verdict', () => {
  const { judge } = grpcCheck({
    serviceName: '',
    authority: '',
    clusterName: 'c',
    metadata: new HeaderMap(),
    protocol: http2Protocol(defaultHttp2Options),
    timeoutMs: 1,
    reuseConnection: true,
  });
  const map = (fields: Field[]) => {
    const headers = new HeaderMap();
    for (const [name, value] of fields) headers.append(name, value);
    return headers;
  };
  const head = (fields: Field[], end = false, code = 200): ResponseHead & { end: boolean } => ({
    status: code,
    headers: map(fields),
    bodySize: undefined,
    upgrade: '',
    version: 'HTTP/2',
    end,
  });
  const GRPC: Field = ['content-type', 'application/grpc'];
  const SERVING = framedMessage(hex('0801'));
  /** The verdict, and after which step it was there. */
  const run = (first: ReturnType<typeof head>, data: Uint8Array[] = [], trailers?: Field[]) => {
    const one = judge();
    const steps: (() => CheckResult | undefined)[] = [
      () => one.onHead(first, first.end),
      ...data.map((bytes) => () => one.onData(bytes, false)),
      ...(trailers ? [() => one.onTrailers(map(trailers))] : []),
    ];
    for (const [i, step] of steps.entries()) {
      const found = step();
      if (found) return [i, found] as const;
    }
    return undefined;
  };

  it('SERVING, in as many pieces as it comes', () => {
    const pieces = Array.from(SERVING, (byte) => Uint8Array.of(byte));
    expect(run(head([GRPC]), pieces, [['grpc-status', '0']])).toEqual([8, PASSED]);
    expect(run(head([['content-type', 'application/grpc+json']]), [SERVING], [['grpc-status', '0']])?.[1]).toBe(PASSED);
  });

  it.each<[string, ReturnType<typeof run>, number]>([
    ['another status', run(head([GRPC], false, 500)), 0],
    ['no content type', run(head([])), 0],
    ['a content type that begins alike', run(head([['content-type', 'application/grpc-web']])), 0],
    ['two content types', run(head([GRPC, GRPC])), 0],
    ['a head alone', run(head([GRPC, ['grpc-status', '0']], true)), 0],
    ['two messages', run(head([GRPC]), [SERVING, SERVING]), 2],
    ['a compressed message', run(head([GRPC]), [hex('01000000020801')]), 1],
    ['a message that is too long', run(head([GRPC]), [framedMessage(new Uint8Array(5000))]), 1],
    ['no status', run(head([GRPC]), [SERVING], []), 2],
    [
      'two statuses',
      run(
        head([GRPC]),
        [SERVING],
        [
          ['grpc-status', '0'],
          ['grpc-status', '0'],
        ],
      ),
      2,
    ],
    ['a status that is no number', run(head([GRPC]), [SERVING], [['grpc-status', '00']]), 2],
    ['an error', run(head([GRPC]), [SERVING], [['grpc-status', '14']]), 2],
    ['no message', run(head([GRPC]), [], [['grpc-status', '0']]), 1],
  ])('%s', (_, found, at) => {
    expect(found).toEqual([at, REFUSED]);
  });

  it('data that ends the stream has no status behind it', () => {
    const one = judge();
    one.onHead(head([GRPC]), false);
    expect(one.onData(SERVING, true)).toBe(REFUSED);
  });
});
