import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBlock, encodeBlock } from '../../../testing/header-blocks.ts';
import { ByteBuffer } from '../byte-buffer.ts';
import type { Field } from '../fields.ts';
import { HpackDecoder, HpackEncoder } from '../hpack.ts';

const roomy = { headerTableSize: 1 << 20, maxHeadBytes: 10_000_000, maxFields: 10_000 };
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const GET: Field = [':method', 'GET'];
const AGENT: Field = ['user-agent', 'a'];

/** How the field is represented, when it was sent `times` times before (RFC 7541 section 6). */
function representation(field: Field, times: number, neverIndexed = false): string {
  const encoder = new HpackEncoder();
  for (let i = 0; i < times; i++) encodeBlock(encoder, [field]);
  const out = new ByteBuffer();
  encoder.field(out, field[0], field[1], neverIndexed);
  const first = out.bytes[0]!;
  if (first >= 0x80) return 'indexed';
  return first >= 0x40 ? 'indexing' : first >= 0x10 ? 'never indexed' : 'literal';
}

describe('the size of the table', () => {
  const after = (encoder: HpackEncoder, ...sizes: number[]) => {
    for (const size of sizes) encoder.limitTable(size);
    return hex(encodeBlock(encoder, [GET]));
  };

  it('a reduction begins the next block, once (RFC 9113 section 4.3.1)', () => {
    const encoder = new HpackEncoder();
    expect(after(encoder, 4096)).toBe('82');
    expect(after(encoder, 0)).toBe('2082');
    expect(after(encoder)).toBe('82');
    expect(after(encoder, 100)).toBe('3f4582');
  });

  it('after several changes the smallest and the last are sent (RFC 7541 section 4.2)', () => {
    expect(after(new HpackEncoder(), 0, 4096)).toBe('203fe11f82');
    expect(after(new HpackEncoder(), 100, 50, 200)).toBe('3f133fa90182');
    expect(after(new HpackEncoder(), 200, 100, 50)).toBe('3f1382');
  });

  it('no more is used than configured, however much the peer allows', () => {
    expect(after(new HpackEncoder(4096), 65_536)).toBe('82');
    expect(after(new HpackEncoder(0))).toBe('2082');
    expect(after(new HpackEncoder(0), 65_536)).toBe('2082');
    expect(after(new HpackEncoder(8192), 65_536)).toBe('3fe13f82');
  });

  it('entries that no longer fit are not referred to', () => {
    const encoder = new HpackEncoder();
    encodeBlock(encoder, [AGENT]);
    encodeBlock(encoder, [AGENT]);
    expect(hex(encodeBlock(encoder, [AGENT]))).toBe('be');
    encoder.limitTable(0);
    encoder.limitTable(4096);
    expect(hex(encodeBlock(encoder, [AGENT]))).toBe('203fe11f7a0161');
  });
});

describe('what enters the table', () => {
  it('a value that is sent for the second time in a row', () => {
    expect([0, 1, 2, 3].map((times) => representation(AGENT, times))).toEqual([
      'literal',
      'indexing',
      'indexed',
      'indexed',
    ]);
  });

  it.each([
    [':path', '/orders/17?token=x'],
    ['x-request-id', 'f0'],
    ['traceparent', '00-ab-cd-01'],
    ['content-length', '17'],
    ['x-forwarded-for', '203.0.113.1'],
    ['etag', '"x"'],
    ['x-unknown', 'perhaps a secret'],
  ])('never %s', (name, value) => {
    expect([0, 1, 2].map((times) => representation([name, value], times))).toEqual(['literal', 'literal', 'literal']);
  });

  it.each(['authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'x-api-key', 'x-csrf-token'])(
    '%s is a credential, and no hop may index it (RFC 7541 section 7.1.3)',
    (name) => {
      for (const value of ['', 'x', 'x'.repeat(100)])
        expect([0, 1, 2].map((times) => representation([name, value], times))).toEqual(Array(3).fill('never indexed'));
    },
  );

  it('a field that came as never indexed is passed on so (RFC 7541 section 6.2.3)', () => {
    for (const field of [GET, AGENT, ['x-unknown', 'a'], ['cookie', 'a'], [':authority', 'a.test']] as const)
      expect([0, 2].map((times) => representation(field, times, true))).toEqual(['never indexed', 'never indexed']);
  });

  it('nothing larger than half of the table', () => {
    expect(representation(['user-agent', 'x'.repeat(2048 - 32 - 10)], 1)).toBe('indexing');
    expect(representation(['user-agent', 'x'.repeat(2048 - 32 - 9)], 1)).toBe('literal');
  });

  it('values that differ in each message drive nothing out', () => {
    const encoder = new HpackEncoder();
    for (let i = 0; i < 1000; i++)
      encodeBlock(encoder, [AGENT, ['grpc-timeout', `${i}m`], ['x-forwarded-host', `h${i}`]]);
    expect(hex(encodeBlock(encoder, [AGENT]))).toBe('be');
  });
});

it('a field that no message may hold is not sent', () => {
  for (const value of ['a\r\nb', '\n', 'a\0', '\u010d\u010a'])
    expect(() => encodeBlock(new HpackEncoder(), [['x', value]])).toThrow(RangeError);
  expect(() => encodeBlock(new HpackEncoder(), [['x\r\n', 'a']])).toThrow(RangeError);
});

describe('decodes to what was encoded', () => {
  const text = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((n) => (n === 0 || n === 10 || n === 13 ? 'a' : String.fromCharCode(n))),
    maxLength: 300,
  });
  const name = fc.oneof(
    text,
    fc.constantFrom(':method', ':path', 'date', 'set-cookie', 'user-agent', ':authority', 'te'),
  );
  // Few values: they repeat, and enter the table.
  const value = fc.oneof(text, fc.constantFrom('', 'a', 'b', 'GET', '/', 'x'.repeat(500), 'y'.repeat(1200)));
  const field = fc.tuple(name, value);
  const size = fc.option(fc.constantFrom(0, 64, 100, 1000, 4096, 65_536), { nil: undefined });
  it.each([0, 100, 4096, 20_000])('with a table of %i bytes, whose limit changes', (most) => {
    fc.assert(
      fc.property(fc.array(fc.tuple(size, fc.array(field, { maxLength: 12 })), { maxLength: 12 }), (blocks) => {
        const encoder = new HpackEncoder(most);
        const decoder = new HpackDecoder(roomy);
        for (const [limit, fields] of blocks) {
          if (limit !== undefined) encoder.limitTable(limit);
          expect(decodeBlock(decoder, encodeBlock(encoder, fields))).toEqual(fields);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('over many blocks of one connection', () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder(roomy);
    let random = 1;
    const below = (count: number) => (random = (random * 48_271) % 2_147_483_647) % count;
    const names = ['user-agent', ':authority', 'accept', 'te', 'server', 'x-unknown'];
    for (let i = 0; i < 4000; i++) {
      const fields = Array.from(
        { length: 4 },
        (): Field => [names[below(6)]!, `v${below(5)}`.repeat(1 + below(3) * 40)],
      );
      expect(decodeBlock(decoder, encodeBlock(encoder, fields))).toEqual(fields);
    }
  });
});
