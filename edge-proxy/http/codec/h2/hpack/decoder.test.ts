import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBlock, FieldList } from '../../../testing/header-blocks.ts';
import { ByteBuffer } from '../byte-buffer.ts';
import { Http2Error, Http2StreamError } from '../error.ts';
import type { Field } from '../fields.ts';
import { type DecoderLimits, HpackDecoder } from '../hpack.ts';
import { writeCompactString, writeInteger } from './primitives.ts';

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/\s/g, ''), 'hex'));
const roomy: DecoderLimits = { headerTableSize: 4096, maxHeadBytes: 1_000_000, maxFields: 10_000 };
const sizeOf = ([name, value]: Field): number => name.length + value.length + 32;
const read = (text: string, limits = roomy) => decodeBlock(new HpackDecoder(limits), hex(text));
const built = (write: (out: ByteBuffer) => void): Uint8Array => {
  const out = new ByteBuffer();
  write(out);
  return out.bytes.slice(0, out.length);
};
const sizeUpdate = (size: number) => built((out) => writeInteger(out, 0x20, 5, size));
/** A literal that enters the table. */
const indexing = (name: string, value: string) =>
  built((out) => {
    out.push(0x40);
    writeCompactString(out, name);
    writeCompactString(out, value);
  });

const COMPRESSION = 'COMPRESSION_ERROR';
const TOO_LARGE = 'list too large';
function failure(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof Http2StreamError) return TOO_LARGE;
    if (error instanceof Http2Error && error.code === 9) return COMPRESSION;
    throw error;
  }
}

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
    const decoder = new HpackDecoder(roomy);
    decodeBlock(decoder, sizeUpdate(tableSize));
    for (const [i, block] of blocks.entries()) expect(decodeBlock(decoder, hex(block))).toEqual(lists[i]);
  });
});

describe('what cannot be decoded ends the connection', () => {
  it.each([
    ['index 0 (6.1)', '80'],
    ['an index beyond the tables (2.3.3)', 'be'],
    ['a name index beyond the tables', '7f00 0161'],
    ['an integer without an end (5.1)', '82ff'],
    ['an integer that is too long (5.1)', 'ffffffffff0f'],
    ['an integer that is too long by leading zeros', 'ff8080808000'],
    ['a string that is cut off', '000361'],
    ['a Huffman string that is cut off', '000181'],
    ['a field without value', '000161'],
    ['a name alone', '40'],
    ['a table size above the limit (6.3)', '3fe21f'],
    ['a table size update behind a field (4.2)', '8220'],
    ['three table size updates (4.2)', '20203fe11f82'],
    ['Huffman padding of zeros (5.2)', '000161 8100'],
    ['Huffman padding of eight bits (5.2)', '000161 82 07ff'],
    ['a Huffman string of padding alone', '000161 81ff'],
    ['EOS in a Huffman string (5.2)', '000161 84 ffffffff'],
    ['a long Huffman code that is cut off', '000161 82 fffe'],
  ])('%s', (_, block) => {
    expect(failure(() => read(block))).toBe(COMPRESSION);
  });
});

describe('limits of a list', () => {
  it('bytes, 32 for each field, and their number', () => {
    const limits = { ...roomy, maxHeadBytes: 100 };
    expect(failure(() => read('82'.repeat(2), limits))).toBeUndefined();
    expect(failure(() => read('82'.repeat(3), limits))).toBe(TOO_LARGE);
    expect(failure(() => read('82'.repeat(2), { ...roomy, maxFields: 2 }))).toBeUndefined();
    expect(failure(() => read('82'.repeat(3), { ...roomy, maxFields: 2 }))).toBe(TOO_LARGE);
  });

  it('a small reference to a large entry counts whole: no amplification', () => {
    const value = 'x'.repeat(3000);
    const decoder = new HpackDecoder({ ...roomy, maxHeadBytes: 10_000 });
    expect(decodeBlock(decoder, indexing('a', value))).toEqual([['a', value]]);
    expect(failure(() => decodeBlock(decoder, hex('be'.repeat(4))))).toBe(TOO_LARGE);
  });

  it('the rest of a list that is too large still enters the table, and the next block is read', () => {
    const decoder = new HpackDecoder({ ...roomy, maxFields: 1 });
    const block = Buffer.concat([indexing('a', '1'), indexing('b', '2'), hex('82'), indexing('c', '3')]);
    expect(failure(() => decodeBlock(decoder, block))).toBe(TOO_LARGE);
    expect(decodeBlock(decoder, hex('be'))).toEqual([['c', '3']]);
    expect(decodeBlock(decoder, hex('c0'))).toEqual([['a', '1']]);
  });

  it('a block that cannot be decoded behind its limit ends the connection', () => {
    expect(failure(() => read('828280', { ...roomy, maxFields: 1 }))).toBe(COMPRESSION);
  });
});

describe('a sink that throws', () => {
  it('hears nothing more of the block, whose rest enters the table', () => {
    const decoder = new HpackDecoder(roomy);
    const heard: string[] = [];
    const sink = {
      onField(name: string) {
        heard.push(name);
        if (name === 'b') throw new Error('refused');
      },
    };
    const block = Buffer.concat([indexing('a', '1'), indexing('b', '2'), indexing('c', '3')]);
    expect(() => decoder.decode(block, 0, block.length, sink)).toThrow('refused');
    expect(heard).toEqual(['a', 'b']);
    expect(decodeBlock(decoder, hex('bebfc0'))).toEqual([
      ['c', '3'],
      ['b', '2'],
      ['a', '1'],
    ]);
  });
});

it('decodes a part of what was read', () => {
  const list = new FieldList();
  new HpackDecoder(roomy).decode(hex('ff828480'), 1, 3, list);
  expect(list.fields).toEqual([
    [':method', 'GET'],
    [':path', '/'],
  ]);
  expect(failure(() => new HpackDecoder(roomy).decode(hex('0001610161'), 0, 4, list))).toBe(COMPRESSION);
});

it('tells names apart that differ in one byte, and codings of a name', () => {
  const decoder = new HpackDecoder(roomy);
  const literal = (name: string) => built((out) => out.append(Uint8Array.of(0, name.length, ...Buffer.from(name), 0)));
  for (let round = 0; round < 2; round++)
    for (const length of [1, 2, 3, 7, 39, 40, 41, 100])
      for (let at = 0; at < length; at++) {
        const name = `${'n'.repeat(at)}m${'n'.repeat(length - at - 1)}`;
        expect(decodeBlock(decoder, literal(name))).toEqual([[name, '']]);
        expect(decodeBlock(decoder, indexing(name, ''))).toEqual([[name, '']]);
      }
  // The bytes of one name are the Huffman code of another.
  expect(decodeBlock(decoder, hex('0081 1f 00 0001 1f 00'))).toEqual([
    ['a', ''],
    ['\u001f', ''],
  ]);
});

it('says which fields no hop may index (6.2.3)', () => {
  const heard: unknown[] = [];
  const sink = { onField: (name: string, _: string, never: boolean) => heard.push([name, never]) };
  const block = hex('82 000161 0162 100163 0164 400165 0166 1f08 0161');
  new HpackDecoder(roomy).decode(block, 0, block.length, sink);
  expect(heard).toEqual([
    [':method', false],
    ['a', false],
    ['c', true],
    ['e', false],
    ['authorization', true],
  ]);
});

describe('the dynamic table', () => {
  it('never holds more than its capacity (4.4)', () => {
    const decoder = new HpackDecoder(roomy);
    // Two entries of 34 and 36 bytes; the third evicts the first.
    decodeBlock(decoder, Buffer.concat([sizeUpdate(80), hex('40016100 4001620161')]));
    expect(decodeBlock(decoder, hex('bf'))).toEqual([['a', '']]);
    decodeBlock(decoder, hex('4001630162'));
    expect(decodeBlock(decoder, hex('bebf'))).toEqual([
      ['c', 'b'],
      ['b', 'a'],
    ]);
    expect(failure(() => decodeBlock(decoder, hex('c0')))).toBe(COMPRESSION);
  });

  it('is emptied by an update, and by an entry that is too large for it (4.3, 4.4)', () => {
    const emptied = new HpackDecoder(roomy);
    decodeBlock(emptied, hex('40016100'));
    expect(failure(() => decodeBlock(emptied, hex('20be')))).toBe(COMPRESSION);
    const small = new HpackDecoder(roomy);
    decodeBlock(small, Buffer.concat([sizeUpdate(60), hex('40016100')]));
    decodeBlock(small, indexing('b', 'x'.repeat(60)));
    expect(failure(() => decodeBlock(small, hex('be')))).toBe(COMPRESSION);
  });

  it('an entry that is evicted may name the one that evicts it (4.4)', () => {
    const decoder = new HpackDecoder(roomy);
    decodeBlock(decoder, Buffer.concat([sizeUpdate(40), hex('40016100')]));
    expect(decodeBlock(decoder, hex('7e0162'))).toEqual([['a', 'b']]);
    expect(decodeBlock(decoder, hex('be'))).toEqual([['a', 'b']]);
  });

  it('has 4096 bytes until the peer updates it, whatever is announced', () => {
    const decoder = new HpackDecoder({ ...roomy, headerTableSize: 65_536 });
    decodeBlock(decoder, indexing('a', 'x'.repeat(3000)));
    decodeBlock(decoder, indexing('b', 'x'.repeat(3000)));
    expect(failure(() => decodeBlock(decoder, hex('bf')))).toBe(COMPRESSION);
    const large = new HpackDecoder({ ...roomy, headerTableSize: 65_536 });
    decodeBlock(large, Buffer.concat([sizeUpdate(65_536), indexing('a', 'x'.repeat(3000))]));
    decodeBlock(large, indexing('b', 'x'.repeat(3000)));
    expect(decodeBlock(large, hex('bf'))).toHaveLength(1);
  });

  it('a reduction that the peer acknowledged begins its next block (RFC 9113 section 4.3.1)', () => {
    const decoder = () => new HpackDecoder({ ...roomy, headerTableSize: 100 });
    const unacknowledged = decoder();
    expect(decodeBlock(unacknowledged, sizeUpdate(4096))).toEqual([]);
    unacknowledged.onSettingsAck();
    expect(failure(() => decodeBlock(unacknowledged, hex('82')))).toBe(COMPRESSION);
    const late = decoder();
    late.onSettingsAck();
    expect(failure(() => decodeBlock(late, sizeUpdate(101)))).toBe(COMPRESSION);
    const reduced = decoder();
    reduced.onSettingsAck();
    expect(decodeBlock(reduced, Buffer.concat([sizeUpdate(0), sizeUpdate(100), hex('82')]))).toHaveLength(1);
    expect(decodeBlock(reduced, hex('82'))).toHaveLength(1);
  });

  it('is as a list that is searched from its newest entry, over thousands of entries', () => {
    const decoder = new HpackDecoder(roomy);
    let model: Field[] = [];
    for (let i = 0; i < 5000; i++) {
      const field: Field = [`n${i}`, 'v'.repeat((i * 7919) % 400)];
      decodeBlock(decoder, indexing(...field));
      model.unshift(field);
      let bytes = 0;
      model = model.filter((one) => (bytes += sizeOf(one)) <= 4096);
      const last = model.length - 1;
      const age = (i * 31) % model.length;
      const block = built((out) => [age, last].forEach((at) => void writeInteger(out, 0x80, 7, 62 + at)));
      expect(decodeBlock(decoder, block)).toEqual([model[age], model[last]]);
      expect(failure(() => decodeBlock(new HpackDecoder(roomy), block))).toBe(COMPRESSION);
    }
  });
});

it('no bytes make the decoder throw anything but its own errors, or give more than the limits', () => {
  const starts = ['', '82', '4001610162', '3fe11f', '0001', '0081', '7f'].map((start) => [...hex(start)]);
  const piece = fc.oneof(fc.constantFrom(...starts), fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 }));
  const limits = { headerTableSize: 4096, maxHeadBytes: 2000, maxFields: 20 };
  fc.assert(
    fc.property(fc.array(fc.array(piece, { maxLength: 10 }), { maxLength: 5 }), (blocks) => {
      const decoder = new HpackDecoder(limits);
      for (const pieces of blocks) {
        const list = new FieldList();
        const block = Uint8Array.from(pieces.flat());
        const failed = failure(() => decoder.decode(block, 0, block.length, list));
        expect(list.fields.length).toBeLessThanOrEqual(limits.maxFields);
        expect(list.fields.reduce((sum, one) => sum + sizeOf(one), 0)).toBeLessThanOrEqual(limits.maxHeadBytes);
        if (failed === COMPRESSION) return;
      }
    }),
    { numRuns: 3000 },
  );
});
