import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Http2Error } from './error.ts';
import { HpackDecoder, HpackEncoder, sizeOf } from './hpack.ts';
import { huffmanDecode, huffmanEncode, huffmanLength } from './huffman.ts';
import type { Field } from './static-table.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const roomy = { tableSize: 4096, listSize: 1_000_000, fields: 10_000 };
const read = (text: string, limits = roomy) => new HpackDecoder(limits).decode(hex(text));
const code = (run: () => unknown): number | undefined => {
  try {
    run();
    return undefined;
  } catch (error) {
    if (!(error instanceof Http2Error)) throw error;
    return error.code;
  }
};
const COMPRESSION = 9;
const CALM = 11;

describe('RFC 7541 appendix C', () => {
  it('literals and indexed fields (C.2)', () => {
    expect(read('400a6375 73746f6d 2d6b6579 0d637573 746f6d2d 68656164 6572')).toEqual([
      ['custom-key', 'custom-header'],
    ]);
    expect(read('040c2f73 616d706c 652f7061 7468')).toEqual([[':path', '/sample/path']]);
    expect(read('10087061 7373776f 72640673 65637265 74')).toEqual([['password', 'secret']]);
    expect(read('82')).toEqual([[':method', 'GET']]);
  });

  const requests: Field[][] = [
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
    ],
    [
      [':method', 'GET'],
      [':scheme', 'http'],
      [':path', '/'],
      [':authority', 'www.example.com'],
      ['cache-control', 'no-cache'],
    ],
    [
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/index.html'],
      [':authority', 'www.example.com'],
      ['custom-key', 'custom-value'],
    ],
  ];
  const at = (second: number) => ['date', `Mon, 21 Oct 2013 20:13:${second} GMT`] as const;
  const location = ['location', 'https://www.example.com'] as const;
  const responses: Field[][] = [
    [[':status', '302'], ['cache-control', 'private'], at(21), location],
    [[':status', '307'], ['cache-control', 'private'], at(21), location],
    [
      [':status', '200'],
      ['cache-control', 'private'],
      at(22),
      location,
      ['content-encoding', 'gzip'],
      ['set-cookie', 'foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1'],
    ],
  ];
  it.each([
    [
      'requests, plain (C.3)',
      4096,
      requests,
      [
        '82868441 0f777777 2e657861 6d706c65 2e636f6d',
        '828684be 58086e6f 2d636163 6865',
        '828785bf 400a6375 73746f6d 2d6b6579 0c637573 746f6d2d 76616c75 65',
      ],
    ],
    [
      'requests, Huffman (C.4)',
      4096,
      requests,
      [
        '82868441 8cf1e3c2 e5f23a6b a0ab90f4 ff',
        '828684be 5886a8eb 10649cbf',
        '828785bf 408825a8 49e95ba9 7d7f8925 a849e95b b8e8b4bf',
      ],
    ],
    [
      'responses, plain, with eviction (C.5)',
      256,
      responses,
      [
        '48033330 32580770 72697661 7465611d 4d6f6e2c 20323120 4f637420 32303133 2032303a 31333a32 3120474d 546e1768 ' +
          '74747073 3a2f2f77 77772e65 78616d70 6c652e63 6f6d',
        '48033330 37c1c0bf',
        '88c1611d 4d6f6e2c 20323120 4f637420 32303133 2032303a 31333a32 3220474d 54c05a04 677a6970 7738666f 6f3d4153 ' +
          '444a4b48 514b425a 584f5157 454f5049 55415851 57454f49 553b206d 61782d61 67653d33 3630303b 20766572 73696f6e ' +
          '3d31',
      ],
    ],
    [
      'responses, Huffman, with eviction (C.6)',
      256,
      responses,
      [
        '48826402 5885aec3 771a4b61 96d07abe 941054d4 44a82005 95040b81 66e082a6 2d1bff6e 919d29ad 171863c7 8f0b97c8 ' +
          'e9ae82ae 43d3',
        '4883640e ffc1c0bf',
        '88c16196 d07abe94 1054d444 a8200595 040b8166 e084a62d 1bffc05a 839bd9ab 77ad94e7 821dd7f2 e6c7b335 dfdfcd5b ' +
          '3960d5af 27087f36 72c1ab27 0fb5291f 95873160 65c003ed 4ee5b106 3d5007',
      ],
    ],
  ] as const)('%s', (_, tableSize, lists, blocks) => {
    const decoder = new HpackDecoder({ ...roomy, tableSize });
    for (const [i, block] of blocks.entries()) expect(decoder.decode(hex(block))).toEqual(lists[i]);
  });
});

describe('what is malformed ends the connection', () => {
  it.each([
    ['index 0', '80'],
    ['an index beyond the tables', 'be'],
    ['a name index beyond the tables', '7f00 0161'],
    ['an integer without an end', '82ff'],
    ['an integer that is too long', 'ffffffffff0f'],
    ['a string that is cut off', '000361'],
    ['a field without value', '000161'],
    ['a name alone', '40'],
    ['a table size above the limit', '3fe21f'],
    ['a table size update behind a field', '8220'],
    ['Huffman padding of zeros', '000161 8100'],
    ['Huffman padding of eight bits', '000161 82 07ff'],
    ['EOS in a Huffman string', '000161 84 ffffffff'],
  ])('%s', (_, block) => {
    expect(code(() => read(block))).toBe(COMPRESSION);
  });

  it('limits of a list', () => {
    const limits = { ...roomy, listSize: 100 };
    expect(code(() => read('82'.repeat(2), limits))).toBeUndefined();
    expect(code(() => read('82'.repeat(3), limits))).toBe(CALM);
    expect(code(() => read('82'.repeat(3), { ...roomy, fields: 2 }))).toBe(CALM);
  });

  it('a small reference to a large entry counts whole: no amplification', () => {
    const value = 'x'.repeat(3000);
    const block = hex(`400161 7f${(3000 - 127 - 128 * 22 + 128).toString(16)}16${Buffer.from(value).toString('hex')}`);
    const decoder = new HpackDecoder({ ...roomy, listSize: 10_000 });
    expect(decoder.decode(block)).toEqual([['a', value]]);
    expect(code(() => decoder.decode(hex('be'.repeat(4))))).toBe(CALM);
  });
});

it('the dynamic table never holds more than its capacity', () => {
  const decoder = new HpackDecoder({ ...roomy, tableSize: 80 });
  // Two entries of 34 and 36 bytes; the third evicts the first.
  decoder.decode(hex('40016100 4001620161'));
  expect(decoder.decode(hex('bf'))).toEqual([['a', '']]);
  decoder.decode(hex('4001630162'));
  expect(decoder.decode(hex('bebf'))).toEqual([
    ['c', 'b'],
    ['b', 'a'],
  ]);
  expect(code(() => decoder.decode(hex('c0')))).toBe(COMPRESSION);
  const other = new HpackDecoder({ ...roomy, tableSize: 80 });
  other.decode(hex('40016100'));
  // Emptied by an update, and by an entry that is too large for it.
  expect(code(() => other.decode(hex('20be')))).toBe(COMPRESSION);
});

describe('encoding', () => {
  it('acknowledges a table that became smaller, once', () => {
    const encoder = new HpackEncoder();
    encoder.limitTable(4096);
    expect(encoder.encode([[':method', 'GET']])).toEqual(hex('82'));
    encoder.limitTable(0);
    expect(encoder.encode([[':method', 'GET']])).toEqual(hex('2082'));
    expect(encoder.encode([[':method', 'GET']])).toEqual(hex('82'));
  });

  it('credentials are never to be indexed', () => {
    expect(new HpackEncoder().encode([['authorization', '\u00ff']])).toEqual(hex('1f08 01ff'));
  });

  const text = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)), maxLength: 300 });
  const field = fc.tuple(fc.oneof(text, fc.constantFrom(':method', 'date', 'set-cookie')), text);
  it('comes back as it was', () => {
    fc.assert(
      fc.property(fc.array(fc.array(field, { maxLength: 8 }), { maxLength: 4 }), (lists) => {
        const encoder = new HpackEncoder();
        const decoder = new HpackDecoder(roomy);
        for (const list of lists) expect(decoder.decode(encoder.encode(list))).toEqual(list);
      }),
    );
  });
});

describe('Huffman', () => {
  it('every symbol comes back', () => {
    const all = Array.from({ length: 256 }, (_, i) => String.fromCharCode(i)).join('');
    for (const text of [all, ...all]) {
      const bytes = huffmanEncode(text);
      expect(bytes.length).toBe(huffmanLength(text));
      expect(huffmanDecode(bytes, 0, bytes.length)).toBe(text);
    }
  });
});

it('no bytes make the decoder throw anything but its own error, or hold more than it may', () => {
  const starts = ['', '82', '4001610162', '3fe11f', '0001', '0081', '7f'].map((start) => [...hex(start)]);
  const piece = fc.oneof(fc.constantFrom(...starts), fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 }));
  fc.assert(
    fc.property(fc.array(fc.array(piece, { maxLength: 10 }), { maxLength: 5 }), (blocks) => {
      const limits = { tableSize: 4096, listSize: 2000, fields: 20 };
      const decoder = new HpackDecoder(limits);
      for (const pieces of blocks) {
        let fields: Field[] = [];
        const failed = code(() => (fields = decoder.decode(Uint8Array.from(pieces.flat()))));
        if (failed !== undefined) {
          expect([COMPRESSION, CALM]).toContain(failed);
          return;
        }
        expect(fields.reduce((sum, one) => sum + sizeOf(one), 0)).toBeLessThanOrEqual(limits.listSize);
      }
    }),
    { numRuns: 3000 },
  );
});
